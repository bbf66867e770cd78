"""How the warden and the zygote part: one process becomes two, in the namespaces that each is to have."""

import os
import signal
import socket
from collections.abc import Callable

from cloudserve.core.confine import syscalls
from cloudserve.core.confine.walls import own_user_namespace
from cloudserve.sandbox.runtimes.python.settings import Settings
from cloudserve.sandbox.warden.loop import Warden


def ending_signal(settings: Settings) -> int:
    """Returns what ends a zygote with all that is below it: in a pid namespace the kernel sees to that, elsewhere the
    zygote does (`_leave`), if it gets the time.
    """
    return signal.SIGKILL if settings.tier in ("A", "B") else signal.SIGTERM


def divide(settings: Settings, forget_the_platform: Callable[[], None]) -> socket.socket:
    """Forks. Returns in the child, which is to be the zygote: the socket by which its workers register.

    The parent is the warden from here on and ends when the host or the zygote does. At tiers A and B the child is the
    first process of a pid namespace of its own; at B both are in a user namespace, in which they are root.
    """
    os.umask(0o022)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if settings.tier == "B":
        own_user_namespace()
    if settings.tier in ("A", "B"):
        syscalls.unshare(syscalls.CLONE_NEWNS)
        # A slave still learns what the host unmounts, and so keeps no file system of it busy.
        syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_SLAVE)
        syscalls.unshare(syscalls.CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        syscalls.die_with_parent(ending_signal(settings))
        ours.close()
        os.close(settings.warden)
        return theirs
    theirs.close()
    os.close(settings.control)
    forget_the_platform()
    try:
        Warden(settings, registrations=ours, zygote=pid, ending=ending_signal(settings)).run()
    finally:
        os._exit(1)
