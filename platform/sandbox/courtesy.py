"""Workers that compute for long give way to all others, so that a stranger's short call does not wait behind them.

A worker is made to give way when a call in it has used `LONG_SECONDS` of processor time, as the watch sees it. That
takes a few looks, so the worker goes on giving way until one of its calls has used less. What makes it give way, the
first that this host allows:

1. Its control group is idle (`cpu.idle`): it runs when nobody else wants to, and whoever wakes takes its place at once.
2. The niceness of its autogroup (sched(7)), which is its session: without control groups and with
   `kernel.sched_autogroup_enabled` the scheduler compares sessions, and policies count inside of one alone.
3. SCHED_IDLE for each of its threads. Only a privileged process may take that back; otherwise it holds for the worker's
   life.
"""

import contextlib
import os
import time
from pathlib import Path
from typing import Final

from cloudserve.core.confine.cgroups import Group

LONG_SECONDS: Final = 0.05
"""What a call may use before it counts as a long one, in seconds of processor time."""

_CLOCK_OF_PROCESS: Final = 2  # CPUCLOCK_SCHED of Linux's include/linux/posix-timers.h: what the scheduler has counted
_NICEST: Final = 19
_AUTOGROUPS: Final = Path("/proc/sys/kernel/sched_autogroup_enabled")


class Courtesy:
    """Of one worker: the leader of a session, in a control group where there are any."""

    __slots__ = ("_group", "_pid", "_used", "gives_way")

    def __init__(self, pid: int, group: Group | None) -> None:
        self.gives_way = False
        self._used: float | None = None
        self._pid = pid
        self._group = group

    def give_way(self) -> None:
        """Lets others go first from now on."""
        if self.gives_way:
            return
        self.gives_way = True
        self._used = None
        if not self._by_group(always=True):
            self._by_session(_NICEST)
            self._by_policy(os.SCHED_IDLE)

    def call_begins(self) -> None:
        """Looks, for a worker that gives way, what its last call has used."""
        before, self._used = self._used, _processor_seconds(self._pid)
        if before is not None and self._used - before < LONG_SECONDS:
            self.stop_giving_way()

    def stop_giving_way(self) -> None:
        """Is on a par with others again, as far as this host lets us undo it."""
        self.gives_way = False
        if not self._by_group(always=False):
            self._by_session(0)
            self._by_policy(os.SCHED_BATCH)

    def _by_group(self, *, always: bool) -> bool:
        return self._group is not None and self._group.give_way(always=always)

    def _by_session(self, niceness: int) -> None:
        # EAGAIN where others have just done the same: then it is done at the next look, or not at all
        with contextlib.suppress(OSError):
            if _AUTOGROUPS.read_text("ascii").strip() == "1":
                Path(f"/proc/{self._pid}/autogroup").write_text(str(niceness), "ascii")

    def _by_policy(self, policy: int) -> None:
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{self._pid}/task").iterdir():
                os.sched_setscheduler(int(thread.name), policy, os.sched_param(0))


def _processor_seconds(pid: int) -> float:
    """Returns what a process has used, by its own clock (clock_getcpuclockid(3)); 0 when it has ended."""
    try:
        return time.clock_gettime(~pid << 3 | _CLOCK_OF_PROCESS)
    except OSError:
        return 0.0
