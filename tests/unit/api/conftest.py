"""The control plane that most tests call, and the deployments alone."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from tests.unit.api.build.deploying import Deploying, deploying
from tests.unit.api.support import Platform, User, running


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    """Keeps the log's lines short, as the platform's own set-up does."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(),
        ],
    )
    yield
    structlog.reset_defaults()


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
