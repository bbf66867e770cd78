"""Late mounts: a folder appears, read-only, in a process that was walled off before."""

import errno
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudserve.core.confine import syscalls, walls
from cloudserve.core.confine.root import Root, system_root
from cloudserve.sandbox.warden.mounts import PLACES, Mounter
from tests.unit.core.confine.forked import forked

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="mounts of Linux"),
    pytest.mark.skipif(os.geteuid() != 0 and os.environ.get("CI") != "true", reason="needs root to mount"),
]


def box() -> Root:
    """Returns a root with the places of code."""
    return system_root().plus(folders=[f"/box/{place}" for place in PLACES])


@pytest.fixture
def walled(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """A process in a root of its own: its pid, and what it answers on when it is sent SIGUSR1."""
    read_end, write_end = os.pipe()

    def answer(*_: object) -> None:
        try:
            text = Path("/box/fn/main.py").read_text()
            Path("/box/fn/new").touch()
        except OSError as error:
            text = f"{text} {errno.errorcode[error.errno or 0]}"
        os.write(write_end, text.encode())

    pid = os.fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGUSR1, answer)
            syscalls.die_with_parent(signal.SIGKILL)
            syscalls.unshare(syscalls.CLONE_NEWNS)
            walls.enter_root(box())
            os.write(write_end, b"ready")
            while True:
                signal.pause()
        finally:
            os._exit(1)
    assert os.read(read_end, 5) == b"ready"
    yield pid, read_end
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(read_end)
    os.close(write_end)


def test_a_folder_is_mounted_late_and_read_only(walled: tuple[int, int], tmp_path: Path) -> None:
    """The process finds the code at once and can't change it; the mounter is where it was, and holds nothing."""
    pid, answers = walled
    (tmp_path / "main.py").write_text("code")

    def mounter() -> tuple[bool, int, int]:
        pidfd = os.pidfd_open(pid)
        mounts = Mounter()
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count
        mounts.mount(pidfd, [(str(tmp_path), "fn")])
        return tmp_path.is_dir(), before, len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count

    there, before, after = forked(mounter)
    os.kill(pid, signal.SIGUSR1)
    assert os.read(answers, 100) == b"code EROFS"
    assert (there, before) == (True, after)


@pytest.mark.parametrize("place", ["../etc", "", "tmp", "fn/.."])
def test_only_the_places_of_code_can_be_mounted_on(walled: tuple[int, int], tmp_path: Path, place: str) -> None:
    """Any other name is refused before anything happens."""
    with pytest.raises(ValueError, match="no place"):
        forked(lambda: Mounter().mount(os.pidfd_open(walled[0]), [(str(tmp_path), place)]))


def test_a_folder_that_is_not_there_is_an_error(walled: tuple[int, int], tmp_path: Path) -> None:
    """Nothing of what came with it is mounted, and nothing stays open."""

    def mounter() -> int:
        pidfd = os.pidfd_open(walled[0])
        mounts = Mounter()
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count
        with pytest.raises(FileNotFoundError):
            mounts.mount(pidfd, [(str(tmp_path), "fn"), (str(tmp_path / "none"), "deps")])
        return len(os.listdir("/proc/self/fd")) - before  # noqa: PTH208 - a count

    assert forked(mounter) == 0


def test_a_process_that_has_ended_gets_nothing(tmp_path: Path) -> None:
    """The error is one of the system's, and the mounter stays where it is."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    pidfd = os.pidfd_open(pid)
    os.waitpid(pid, 0)
    with pytest.raises(OSError, match="setns"):
        forked(lambda: Mounter().mount(pidfd, [(str(tmp_path), "fn")]))
    os.close(pidfd)
