"""Tries namespaces and the mounts in them, with this process's own privileges or with those of a user namespace."""

import errno
import os
import socket
from pathlib import Path
from typing import Final

from cloudserve.core.confine import syscalls as linux
from cloudserve.core.confine.probe.child import Try, in_child, succeeded

SPACE: Final = "/tmp"  # noqa: S108 - only a place that is there on every host, to mount something on
HERE: Final = str(Path(__file__).parent)

NAMESPACES: Final = {
    "mount-namespace": linux.CLONE_NEWNS,
    "pid-namespace": linux.CLONE_NEWPID,
    "ipc-namespace": linux.CLONE_NEWIPC,
    "network-namespace": linux.CLONE_NEWNET,
    "uts-namespace": linux.CLONE_NEWUTS,
}


def user_namespace() -> None:
    """Makes one and becomes root in it."""
    uid, gid = os.geteuid(), os.getegid()
    linux.unshare(linux.CLONE_NEWUSER)
    linux.map_own_user(uid, gid)


def stay() -> None:
    """Keeps to this process's own privileges."""


WAYS: Final = {"own": stay, "user": user_namespace}


def namespace(enter: Try, flag: int) -> None:
    """Makes a namespace and runs a process in it."""
    enter()
    linux.unshare(flag)
    in_child(lambda: None)


def _own_mounts(enter: Try, *, further: int = 0) -> None:
    enter()
    linux.unshare(linux.CLONE_NEWNS | further)
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)


def _mount_space() -> None:
    linux.mount("tmpfs", SPACE, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "size=64k,nr_inodes=16")


def tmpfs(enter: Try) -> None:
    """Mounts a small file system of its own."""
    _own_mounts(enter)
    _mount_space()


def proc(enter: Try) -> None:
    """Mounts the processes of a namespace that has only those of its own."""
    _own_mounts(enter, further=linux.CLONE_NEWPID)
    _mount_space()
    place = f"{SPACE}/proc"
    Path(place).mkdir()
    in_child(lambda: linux.mount("proc", place, "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC))


def pivot_root(enter: Try) -> None:
    """Makes another folder the root and lets go of the old one."""
    tmpfs(enter)
    os.chdir(SPACE)
    linux.pivot_root(".", ".")
    linux.detach(".")


def late_mount(enter: Try) -> None:
    """Puts a folder, read-only, into the mounts of a process that runs already."""
    _own_mounts(enter)
    tree = linux.open_tree(HERE)  # before the space hides it, in case it lies there
    _mount_space()
    place = f"{SPACE}/late"
    Path(place).mkdir()
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        linux.unshare(linux.CLONE_NEWNS)
        theirs.send(b"here")
        theirs.recv(1)
        os._exit(0 if (Path(place) / Path(__file__).name).exists() else errno.ENOENT)
    theirs.close()
    ours.recv(4)
    pidfd = os.pidfd_open(child)
    linux.set_mount(tree, linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV)
    linux.setns(pidfd, linux.CLONE_NEWNS)
    linux.move_mount(tree, place)
    ours.send(b".")
    succeeded(child)
