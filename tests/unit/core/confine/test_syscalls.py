"""The thin layer over system calls: right numbers, right errors, and calls that do what they say."""

import errno
import os
import signal
import sys
from pathlib import Path

import pytest

from cloudserve.core.confine import syscalls
from tests.unit.core.confine.forked import forked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="system calls of Linux")

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.mark.parametrize(
    ("name", "x86_64", "aarch64"),
    [
        ("capset", 126, 91),
        ("pivot_root", 155, 41),
        ("process_vm_readv", 310, 270),
        ("seccomp", 317, 277),
        ("pidfd_send_signal", 424, 424),
        ("open_tree", 428, 428),
        ("move_mount", 429, 429),
        ("pidfd_open", 434, 434),
        ("pidfd_getfd", 438, 438),
        ("mount_setattr", 442, 442),
        ("landlock_create_ruleset", 444, 444),
        ("landlock_add_rule", 445, 445),
        ("landlock_restrict_self", 446, 446),
    ],
)
def test_calls_have_their_number_on_each_machine(name: str, x86_64: int, aarch64: int) -> None:
    """The numbers are those of the kernel's tables."""
    assert (syscalls.number(name, "x86_64"), syscalls.number(name, "aarch64")) == (x86_64, aarch64)


def test_an_unknown_machine_has_no_calls() -> None:
    """Where the numbers are not known nothing is guessed: the call does not exist."""
    with pytest.raises(OSError, match="not known") as caught:
        syscalls.number("capset", "riscv64")
    assert caught.value.errno == errno.ENOSYS


def test_a_refused_call_says_which_and_why() -> None:
    """The error has the kernel's code and the call's name."""
    with pytest.raises(OSError, match="setns: Bad file descriptor") as caught:
        syscalls.setns(-1, 0)
    assert caught.value.errno == errno.EBADF


def test_a_descriptor_of_another_process_can_be_had() -> None:
    """`pidfd_getfd` duplicates one, here of the process itself."""
    read_end, write_end = os.pipe()
    pidfd = os.pidfd_open(os.getpid())
    copy = syscalls.pidfd_getfd(pidfd, write_end)
    os.write(copy, b"x")
    assert os.read(read_end, 1) == b"x"
    for descriptor in (read_end, write_end, pidfd, copy):
        os.close(descriptor)


def test_no_new_privileges_holds() -> None:
    """After the call the kernel shows it as set."""

    def child() -> str:
        syscalls.no_new_privileges()
        return Path("/proc/self/status").read_text()

    assert "NoNewPrivs:\t1\n" in forked(child)


def test_capabilities_go_for_good() -> None:
    """No set of capabilities has any left, and the bounding set of who was privileged has none either."""

    def child() -> dict[str, str]:
        syscalls.drop_capabilities()
        lines = Path("/proc/self/status").read_text().splitlines()
        return dict(line.split(":\t") for line in lines if line.startswith("Cap"))

    sets = forked(child)
    emptied = {"CapInh", "CapPrm", "CapEff", "CapAmb"} | ({"CapBnd"} if os.geteuid() == 0 else set())
    assert {name: int(sets[name], 16) for name in emptied} == dict.fromkeys(emptied, 0)


def test_a_child_dies_with_its_parent() -> None:
    """A grandchild that asked for it ends when its parent does."""
    read_end, write_end = os.pipe()
    parent = os.fork()
    if parent == 0:
        if os.fork() == 0:
            syscalls.die_with_parent(signal.SIGKILL)
            os.write(write_end, b"x")
            signal.pause()
        os.read(read_end, 1)
        os._exit(0)
    os.close(write_end)
    os.waitpid(parent, 0)
    assert os.read(read_end, 1) == b""  # the last writer has ended
    os.close(read_end)


def test_a_user_of_ones_own_namespace_is_its_root() -> None:
    """In a user namespace that maps only itself, an ordinary user is user 0; skipped where the kernel refuses those."""

    def child() -> tuple[int, int]:
        uid, gid = os.geteuid(), os.getegid()
        syscalls.unshare(syscalls.CLONE_NEWUSER)
        syscalls.map_own_user(uid, gid)
        return os.geteuid(), os.getegid()

    assert forked(child) == (0, 0)


@AS_ROOT
def test_a_tree_is_put_elsewhere_read_only(tmp_path: Path) -> None:
    """A detached copy of a folder shows its files in a new place, where nobody can write."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "file").write_text("here")

    def child() -> tuple[str, int | None]:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
        tree = syscalls.open_tree(str(source))
        syscalls.set_mount(tree, syscalls.MOUNT_ATTR_RDONLY)
        syscalls.move_mount(tree, str(target))
        try:
            (target / "other").write_text("x")
        except OSError as error:
            return (target / "file").read_text(), error.errno
        return "written", None

    assert forked(child) == ("here", errno.EROFS)
    assert list(target.iterdir()) == []


@AS_ROOT
def test_a_new_root_shows_nothing_of_the_old(tmp_path: Path) -> None:
    """After `pivot_root` and `detach` there is only what was put there."""

    def child() -> list[str]:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
        syscalls.mount("tmpfs", str(tmp_path), "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "size=64k")
        (tmp_path / "only").mkdir()
        os.chdir(tmp_path)
        syscalls.pivot_root(".", ".")
        syscalls.detach(".")
        os.chdir("/")
        return os.listdir("/")  # noqa: PTH208 - one word

    assert forked(child) == ["only"]
