"""What a contender's processes use: the CPU time and the memory of a process and everything below it."""

import contextlib
import os
import time
from collections.abc import Mapping
from typing import Final

import psutil

from cloudserve.core.confine.syscalls import PR_SET_CHILD_SUBREAPER, prctl

_SETTLED_SHARE: Final = 0.02
_LOOK_SECONDS: Final = 0.2


def tree(pid: int) -> list[int]:
    """Returns the process and all below it, whichever namespaces they are in."""
    try:
        root = psutil.Process(pid)
        return [pid, *(child.pid for child in root.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(pid: int) -> dict[int, float]:
    """Returns the CPU time of each process of a tree so far, by its number.

    It is read from the process's CPU clock (clock_getcpuclockid(3)), which counts nanoseconds and includes threads
    that have ended; /proc counts in hundredths of a second.
    """
    used = {}
    for one in tree(pid):
        try:
            used[one] = time.clock_gettime((~one << 3) | 2)
        except OSError:
            continue  # it has just ended
    return used


def cpu_between(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    """Returns the CPU seconds between two looks at a tree; what ended in between is not counted."""
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def settle(pid: int, most_seconds: float) -> None:
    """Returns when a tree has next to nothing to do any more, or after `most_seconds`."""
    until = time.monotonic() + most_seconds
    used = cpu_seconds(pid)
    while time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)
        now = cpu_seconds(pid)
        if cpu_between(used, now) < _SETTLED_SHARE * _LOOK_SECONDS:
            return
        used = now


def adopt_orphans() -> None:
    """Makes this process the parent of what its descendants leave behind (PR_SET_CHILD_SUBREAPER), not process 1.

    So it learns of their CPU time too: processes of a sandbox end after the platform that started them.
    """
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def reap_orphans(most_seconds: float = 5.0) -> None:
    """Waits for every child that is left; call it when nobody else waits for one."""
    until = time.monotonic() + most_seconds
    with contextlib.suppress(ChildProcessError):  # none is left
        while time.monotonic() < until:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.01)


def environment() -> dict[str, str]:
    """Returns an environment for what is measured: this one's, without the settings of a platform or of a language."""
    foreign = ("CLOUDSERVE_", "PYTHON", "NODE_", "NPM_CONFIG_", "npm_config_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
