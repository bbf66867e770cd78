"""The way from a forked child of the jailer to the tool: every wall, in order, then exec."""

import os
import resource
import signal
import socket
import sys
import traceback
from typing import Any, Final, NoReturn

from cloudserve.core.confine import seccomp, walls
from cloudserve.core.confine import syscalls as linux
from cloudserve.core.confine.root import NOBODY, Bind, Root

WALLED: Final = b"walled"
"""What the child says when its walls stand; anything else is why they do not, or why the tool can't be run."""

_APART: Final = linux.CLONE_NEWNS | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS | linux.CLONE_NEWNET
_BOTH: Final[tuple[seccomp.Supervised, ...]] = ("socket", "connect")
_CONNECT: Final[tuple[seccomp.Supervised, ...]] = ("connect",)
_HOST_NAME: Final = "build"
_NOT_RUN: Final = 127


def give_away(folders: list[str], uid: int) -> None:
    """Makes a user the owner of folders and of all in them, and of nothing that a link leads to, now or meanwhile."""
    for top in folders:
        for _, folders_here, files, here in os.fwalk(top):
            for name in (".", *folders_here, *files):
                if os.stat(name, dir_fd=here, follow_symlinks=False).st_uid != uid:
                    os.chown(name, uid, uid, dir_fd=here, follow_symlinks=False)


def become_the_tool(order: dict[str, Any], link: socket.socket) -> NoReturn:
    """Raises the walls, hands the listener for its connections over, and once it is let go becomes the tool."""
    try:
        linux.die_with_parent(signal.SIGKILL)
        os.setsid()
        own_pids = order["tier"] != "C"
        if own_pids:
            _own_root(order)
        _limit(order["bounds"], processes=own_pids)
        walls.give_up_privileges()
        os.chdir(order["folder"])
        _be_quiet()
        walls.confine_files(read=order["read"], write=[*order["write"], "/dev/null"], scoped=order["scoped"])
        if not own_pids and not order["scoped"]:
            walls.stand_in_for_landlock()
        bpf = seccomp.worker_filter(supervised=_BOTH if own_pids or order["keeps_sockets"] else _CONNECT)
        listener = seccomp.install(bpf, listener=True)
        socket.send_fds(link, [WALLED], [listener])
        os.close(listener)
        link.recv(1)
        os.dup2(1, 2)
        os.execvpe(order["argv"][0], order["argv"], order["environment"])  # noqa: S606 - no shell is what is wanted
    except BaseException:  # noqa: BLE001 - whatever it is, nothing of it may climb into the jailer's own code
        link.send(traceback.format_exc().encode()[-4096:])
    finally:
        os._exit(_NOT_RUN)


def _own_root(order: dict[str, Any]) -> None:
    linux.unshare(_APART)
    socket.sethostname(_HOST_NAME)
    described = order["root"]
    binds = tuple(Bind(**bind) for bind in described["binds"])
    walls.enter_root(Root(binds, described["links"], described["files"], tuple(described["folders"])))
    walls.own_proc()
    if order["tier"] == "A":
        walls.become(order["uid"])
        linux.die_with_parent(signal.SIGKILL)
    else:
        walls.own_user_namespace(inner=NOBODY)


def _limit(bounds: dict[str, int], *, processes: bool) -> None:
    """Sets the limits of each process; that of their number only where it counts those of this run's user alone."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: bounds["cpu_seconds"],
        resource.RLIMIT_DATA: bounds["memory_bytes"],
        resource.RLIMIT_FSIZE: bounds["disk_bytes"],
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NOFILE: bounds["open_files"],
    }
    if processes:
        limits[resource.RLIMIT_NPROC] = bounds["processes"]
    for which, value in limits.items():
        most = resource.getrlimit(which)[1]
        bound = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(which, (bound, bound))


def _be_quiet() -> None:
    """Takes the order's pipe out of the tool's hands."""
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
