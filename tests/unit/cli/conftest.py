"""What the tests of the command line share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudserve.cli import profile
from tests.unit.cli.scripted import Scripted, scripted


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the sign-ins of whoever runs it, nor leaves one."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("CLOUDSERVE_URL", "CLOUDSERVE_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def platform() -> Iterator[Scripted]:
    """A platform that answers as told."""
    with scripted() as running:
        yield running


@pytest.fixture
def signed_in(platform: Scripted) -> Scripted:
    """The same, with Ann signed in to it; functions answer on the same origin."""
    profile.remember(platform.url, platform.url, "csk_ann", "ann")
    return platform
