"""The control plane that most tests call, and the deployments alone."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.api.build.deploying import Deploying, deploying
from tests.unit.api.support import Platform, User, running


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    """A control plane that sends no mail and lets everyone sign up."""
    async with running(tmp_path) as one:
        yield one


@pytest.fixture
async def ada(platform: Platform) -> User:
    """A user with a session."""
    return await platform.signed_up("ada")


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Deploying]:
    """Deployments at work in a folder of their own."""
    async with deploying(tmp_path) as at_work:
        yield at_work
