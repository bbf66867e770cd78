"""Whether the host has processor time left."""

from pathlib import Path

import pytest

from cloudserve.sandbox import processors
from cloudserve.sandbox.processors import Processors


@pytest.fixture(autouse=True)
def _every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "WINDOW_SECONDS", 0)


def counted(file: Path, *, busy: int, idle: int, waiting: int = 0) -> None:
    """Writes what the kernel would."""
    file.write_text(f"cpu  {busy} 0 0 {idle} {waiting} 0 0 0 0 0\ncpu0 {busy} 0 0 {idle} {waiting} 0 0 0 0 0\n")


def test_it_is_about_the_time_since_the_last_look(tmp_path: Path) -> None:
    """However idle the host was before; time in which it waits for a disk is left too."""
    stat = tmp_path / "stat"
    host = Processors(stat)
    counted(stat, busy=100, idle=10_000)
    host.have_left()
    counted(stat, busy=119, idle=10_001)
    assert not host.have_left()
    counted(stat, busy=134, idle=10_002, waiting=4)
    assert host.have_left()


def test_where_it_cannot_be_told_nothing_is_left(tmp_path: Path) -> None:
    """Also when no time has passed."""
    stat = tmp_path / "stat"
    host = Processors(stat)
    assert not host.have_left()
    stat.write_text("nonsense\n")
    assert not host.have_left()
    counted(stat, busy=1, idle=1)
    host.have_left()
    assert not host.have_left()


def test_the_kernel_s_own_figures_are_read() -> None:
    """As far as there is a kernel that has any."""
    assert isinstance(Processors().have_left(), bool)
