"""Workers that compute for long give way to all others, so that a stranger's short call does not wait behind them.

A worker is made to give way when a call in it has used `LONG_SECONDS` of processor time, as the watch sees it, and is
on a par again when its next call begins. What makes it give way, the first that this host allows:

1. Its control group is idle (`cpu.idle`): it runs when nobody else wants to, and whoever wakes takes its place at once.
2. The niceness of its autogroup (sched(7)), which is its session: without control groups and with
   `kernel.sched_autogroup_enabled` the scheduler compares sessions, and policies count inside of one alone.
3. SCHED_IDLE for each of its threads. Only a privileged process may take that back; otherwise it holds for the worker's
   life.
"""

import contextlib
import os
from pathlib import Path
from typing import Final

from cloudserve.core.confine.cgroups import Group

LONG_SECONDS: Final = 0.05
"""What a call may use before it counts as a long one, in seconds of processor time."""

_NICEST: Final = 19
_AUTOGROUPS: Final = Path("/proc/sys/kernel/sched_autogroup_enabled")


class Courtesy:
    """Of one worker: the leader of a session, in a control group where there are any."""

    __slots__ = ("_group", "_pid", "gives_way")

    def __init__(self, pid: int, group: Group | None) -> None:
        self.gives_way = False
        self._pid = pid
        self._group = group

    def give_way(self) -> None:
        """Lets others go first from now on."""
        if self.gives_way:
            return
        self.gives_way = True
        if not self._by_group(always=True):
            self._by_session(_NICEST)
            self._by_policy(os.SCHED_IDLE)

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
