"""The gateway that most tests call."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.gateway.support import Platform, ScriptedSandbox, running


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    """A gateway with a scripted sandbox, on two ports of loopback."""
    async with running(tmp_path, ScriptedSandbox()) as one:
        yield one
