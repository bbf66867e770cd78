"""Tries what a process gives up for good: its user, its limits, and, by landlock, files, ports and other processes."""

import errno
import os
import resource
import socket
from pathlib import Path
from typing import Final

from cloudserve.core.confine import landlock
from cloudserve.core.confine import syscalls as linux
from cloudserve.core.confine.probe.child import must_fail

HERE: Final = str(Path(__file__).parent)


def other_users() -> None:
    """Becomes one of the users that workers are; a user namespace, such as a rootless container's, may lack them."""
    from cloudserve.core.confine.walls import FIRST_UID  # noqa: PLC0415 - costs more than all tries together

    os.setgroups([])
    os.setresgid(FIRST_UID, FIRST_UID, FIRST_UID)
    os.setresuid(FIRST_UID, FIRST_UID, FIRST_UID)


def rlimits() -> None:
    """Lowers the limits that a worker gets."""
    for kind, most in ((resource.RLIMIT_NPROC, 64), (resource.RLIMIT_DATA, 1 << 27), (resource.RLIMIT_FSIZE, 1 << 20)):
        hard = resource.getrlimit(kind)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (bound, bound))


def landlock_files() -> str:
    """Confines itself to one folder and looks outside. Finds the version of landlock."""
    found = linux.syscall("landlock_create_ruleset", None, 0, 1)
    with landlock.Ruleset() as rules:
        rules.allow(HERE, landlock.READ)
        rules.enforce()
    os.scandir(HERE).close()
    must_fail(lambda: os.scandir("/"), errno.EACCES)
    return f"version {found}"


def landlock_tcp() -> str:
    """Connects to a port of this host that nobody has."""
    _confined()
    with socket.socket() as made:
        must_fail(lambda: made.connect(("127.0.0.1", 1)), errno.EACCES)
    return ""


def landlock_signals() -> str:
    """Asks whether it may signal the process that started it."""
    _confined()
    must_fail(lambda: os.kill(os.getppid(), 0), errno.EPERM)
    return ""


def _confined() -> None:
    with landlock.Ruleset() as rules:
        rules.enforce()
