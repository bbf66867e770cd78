"""Walls, each raised in a forked child that then looks at them from within."""

import errno
import os
import resource
import sys
from pathlib import Path
from typing import Any

import pytest

from cloudserve.core.confine import syscalls, walls
from cloudserve.core.confine.bounds import Bounds
from cloudserve.core.confine.root import Bind, Root, system_root
from tests.unit.core.confine.forked import forked

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="walls are a matter of Linux"),
    pytest.mark.skipif(os.geteuid() != 0 and os.environ.get("CI") != "true", reason="needs root to raise them"),
]
BOUNDS = Bounds(processes=8, open_files=32, disk_mb=1, inodes=16)


def refused(work: Any) -> int | None:
    """Returns the code of the error that something ends with."""
    try:
        work()
    except OSError as error:
        return error.errno
    return None


def in_root(root: Root) -> None:
    """Enters a root in namespaces of its own."""
    syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWIPC)
    walls.enter_root(root)


def test_a_root_has_what_it_was_given_and_nothing_else(tmp_path: Path) -> None:
    """Binds, links, files and folders are in their places, also a folder from below where the root is put together."""
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "file").write_text("here")

    def child() -> dict[str, Any]:
        root = Root(
            binds=(Bind(str(shown), "/deep/down"), Bind(str(shown / "file"), "/alone")),
            links={"/link": "deep/down"},
            files={"/own/text": "ours"},
            folders=("/empty",),
        )
        in_root(root)
        return {
            "names": sorted(os.listdir("/")),  # noqa: PTH208 - names
            "texts": [Path(path).read_text() for path in ("/link/file", "/alone", "/own/text")],
            "refused": [refused(Path(path).touch) for path in ("/new", "/empty/new", "/deep/down/new")],
        }

    assert forked(child) == {
        "names": ["alone", "deep", "empty", "link", "own"],
        "texts": ["here", "here", "ours"],
        "refused": [errno.EROFS] * 3,
    }


def test_what_is_bound_writable_can_be_written(tmp_path: Path) -> None:
    """It is the host's own folder."""

    def child() -> None:
        in_root(Root(binds=(Bind(str(tmp_path), "/shelf", writable=True),)))
        Path("/shelf/made").write_text("inside")

    forked(child)
    assert (tmp_path / "made").read_text() == "inside"


def test_the_systems_root_runs_programs() -> None:
    """Programs of the system find their libraries, devices work, and nothing there can be changed."""

    def child() -> dict[str, Any]:
        in_root(system_root())
        return {
            "code": os.waitstatus_to_exitcode(os.system("/bin/sh -c 'echo > /dev/null'")),
            "zeros": Path("/dev/zero").open("rb").read(2),
            "usr": refused(Path("/usr/new").touch),
        }

    assert forked(child) == {"code": 0, "zeros": b"\0\0", "usr": errno.EROFS}


def test_own_folders_are_bounded_together() -> None:
    """/tmp and /dev/shm share one bound of bytes and one of files, and the user has a name."""

    def child() -> dict[str, Any]:
        in_root(system_root())
        walls.own_folders(BOUNDS, "worker:x:77:77::/tmp:/bin/sh\n")
        half = bytes(BOUNDS.disk_bytes // 2 - 8192)
        Path("/tmp/one").write_bytes(half)
        Path("/dev/shm/two").write_bytes(half)
        full = refused(lambda: Path("/tmp/three").write_bytes(half))
        files = 0
        while refused(Path(f"/tmp/{files}").touch) is None:
            files += 1
        return {"full": full, "few": files <= BOUNDS.inodes, "passwd": Path("/etc/passwd").read_text()}

    assert forked(child) == {"full": errno.ENOSPC, "few": True, "passwd": "worker:x:77:77::/tmp:/bin/sh\n"}


def test_limits_are_the_bounds() -> None:
    """Each limit is set for good."""

    def child() -> list[tuple[int, int]]:
        walls.limit(BOUNDS, processes=True)
        names = ("CORE", "FSIZE", "NOFILE", "NPROC")
        return [resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in names]

    assert forked(child) == [(0, 0), (1 << 20, 1 << 20), (32, 32), (8, 8)]


def test_a_user_of_its_own_may_nothing_of_roots(tmp_path: Path) -> None:
    """After the change of user nothing leads back, and the process still reads its own /proc."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)

    def child() -> dict[str, Any]:
        walls.become(walls.FIRST_UID)
        walls.give_up_privileges()
        return {
            "ids": (os.getresuid(), os.getgroups()),
            "back": refused(lambda: os.setuid(0)),
            "secret": refused(secret.read_text),
            "own": refused(lambda: os.listdir("/proc/self/fd")),  # noqa: PTH208 - names
        }

    uid = walls.FIRST_UID
    assert forked(child) == {"ids": ((uid, uid, uid), []), "back": errno.EPERM, "secret": errno.EACCES, "own": None}


def test_an_own_user_namespace_has_one_user() -> None:
    """Inside it has the number that was asked for; nobody else can be become."""

    def child() -> tuple[int, int | None]:
        walls.own_user_namespace(inner=65534)
        return os.getuid(), refused(lambda: os.setuid(0))

    assert forked(child) == (65534, errno.EINVAL)
