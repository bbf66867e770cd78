"""The watch: looks at what workers use ten times a second, and ends those that use more than they may.

- Memory: what a worker and the processes it started hold, less what its runtime held before user code.
- Processor, five times a second: a call may use what one core gives it until its time-out, and after a while gives way
  to others (`courtesy`). A worker without a call may use `IDLE_CPU_SECONDS` at once, which grow back at
  `IDLE_CPU_SHARE` of a core.
- Processes and folder, where nothing but a look bounds them (`Duties`). A folder is looked into once a second at most,
  and all of them together for `FOLDER_SHARE` of the time.

A control group bounds memory too, as a backstop between two looks, and a death for want of memory in one is told by the
kernel; version 1 ends one process of the group, and the watch the rest.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cloudserve.core.confine.bounds import Bounds
from cloudserve.sandbox import limits
from cloudserve.sandbox.courtesy import LONG_SECONDS
from cloudserve.sandbox.failures import Failure
from cloudserve.sandbox.watch.folders import contents
from cloudserve.sandbox.watch.tree import Forest, Tree
from cloudserve.sandbox.worker import Worker

TICK_SECONDS: Final = 0.1
IDLE_CPU_SECONDS: Final = 1.0
IDLE_CPU_SHARE: Final = 0.05
FOLDER_SHARE: Final = 0.01
_TICKS_BETWEEN_PROCESSOR_LOOKS: Final = 2
_TICKS_BETWEEN_SWEEPS: Final = 10
_LEAST_PAUSE: Final = 1.0


@dataclass(frozen=True, slots=True)
class Duties:
    """What the watch alone bounds: what the kernel does not on this host."""

    processes: bool
    folders: bool


class _Watched:
    """What is remembered of a worker between two looks."""

    __slots__ = (
        "baseline_kib",
        "call",
        "call_cpu",
        "idle_calls",
        "idle_cpu",
        "idle_used",
        "looked_in",
        "tree",
        "worker",
    )

    def __init__(self, worker: Worker, tree: Tree) -> None:
        self.worker = worker
        self.tree = tree
        self.baseline_kib = tree.memory_kib()
        self.call = 0
        self.call_cpu: float | None = None
        self.idle_calls = -1
        self.idle_cpu = 0.0
        self.idle_used = 0.0
        self.looked_in = 0.0


class Watch:
    """Watches workers. `on_sweep` is called once a second while there are any, `on_overdrawn` with a worker that is
    ended though no call was in it, and why.
    """

    def __init__(
        self,
        bounds: Bounds,
        duties: Duties,
        *,
        on_sweep: Callable[[], None],
        on_overdrawn: Callable[[Worker, Failure], None],
    ) -> None:
        self._bounds = bounds
        self._duties = duties
        self._on_sweep = on_sweep
        self._on_overdrawn = on_overdrawn
        self._loop = asyncio.get_running_loop()
        self._forest = Forest()
        self._watched: dict[Worker, _Watched] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._ticks = 0
        self._next_folder_at = 0.0
        self.kills = 0

    def add(self, worker: Worker) -> None:
        """Watches a worker from now on, whose user code is not loaded yet, until it has ended."""
        self._watched[worker] = _Watched(worker, self._forest.plant(worker.pid))
        worker.ended.add_done_callback(lambda _: self._forget(worker))
        if self._timer is None:
            self._timer = self._loop.call_later(TICK_SECONDS, self._tick)

    def held_kib(self, worker: Worker) -> int:
        """Returns what a worker and its processes hold, their runtime included."""
        watched = self._watched.get(worker)
        return watched.tree.memory_kib() if watched else 0

    def close(self) -> None:
        """Stops."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for worker in list(self._watched):
            self._forget(worker)
        self._forest.close()

    def _forget(self, worker: Worker) -> None:
        watched = self._watched.pop(worker, None)
        if watched is not None:
            self._forest.fell(watched.tree)

    def _tick(self) -> None:
        self._timer = None
        self._ticks += 1
        sweep = self._ticks % _TICKS_BETWEEN_SWEEPS == 0
        self._forest.grow()
        for watched in list(self._watched.values()):
            worker = watched.worker
            if worker.stopping:
                continue
            if worker.busy or sweep or not worker.loaded:
                failure = self._memory(watched)
                if not failure and self._ticks % _TICKS_BETWEEN_PROCESSOR_LOOKS == 0:
                    failure = self._processor(watched, sweep)
                if not failure and sweep:
                    failure = worker.out_of_memory()
                if failure:
                    self._end(worker, failure)
        if self._duties.folders:
            self._look_into_a_folder()
        if sweep:
            self._on_sweep()
        if self._watched:
            self._timer = self._loop.call_later(TICK_SECONDS, self._tick)

    def _end(self, worker: Worker, failure: Failure) -> None:
        self.kills += 1
        if worker.loaded and not worker.busy:
            self._on_overdrawn(worker, failure)
        worker.kill(failure)

    def _memory(self, watched: _Watched) -> Failure | None:
        worker = watched.worker
        kib = watched.tree.memory_kib() - watched.baseline_kib
        if kib > worker.calls.memory_mb * 1024:
            kib = watched.tree.at_most_kib(kib)
        worker.calls.peak_kib = max(worker.calls.peak_kib, kib)
        return limits.out_of_memory(kib, worker.calls.memory_mb) if kib > worker.calls.memory_mb * 1024 else None

    def _processor(self, watched: _Watched, sweep: bool) -> Failure | None:
        worker = watched.worker
        oldest = worker.calls.oldest
        if oldest != watched.call:  # most calls are gone before the next look, and cost none
            watched.call, watched.call_cpu = oldest, None
            if not self._duties.processes and not sweep:
                return None
        seconds, threads = watched.tree.look()
        if self._duties.processes and threads > self._bounds.processes:
            return limits.too_many_processes(threads, self._bounds, worker.calls.peak_kib)
        if oldest:
            return self._of_call(watched, oldest, seconds)
        return self._idle(watched, seconds) if sweep and worker.loaded and not worker.busy else None

    def _of_call(self, watched: _Watched, oldest: int, seconds: float) -> Failure | None:
        calls = watched.worker.calls
        if watched.call_cpu is None:
            watched.call_cpu = seconds
        allowed = calls.timeout * (calls.begun - oldest + 1)  # each call brings its own share
        used = seconds - watched.call_cpu
        if used > LONG_SECONDS and watched.worker.courtesy is not None:
            watched.worker.courtesy.give_way()
        return limits.cpu_used_up(used, allowed, calls.peak_kib) if used > allowed else None

    def _idle(self, watched: _Watched, seconds: float) -> Failure | None:
        """Looks at a worker without a call, if it had none since the last such look either."""
        calls = watched.worker.calls.begun
        if watched.idle_calls == calls:
            grown_back = IDLE_CPU_SHARE * TICK_SECONDS * _TICKS_BETWEEN_SWEEPS
            watched.idle_used = max(0.0, watched.idle_used + seconds - watched.idle_cpu - grown_back)
        watched.idle_calls, watched.idle_cpu = calls, seconds
        if watched.idle_used > IDLE_CPU_SECONDS:
            return limits.busy_between_calls(watched.idle_used, IDLE_CPU_SECONDS)
        return None

    def _look_into_a_folder(self) -> None:
        now = time.monotonic()
        if now < self._next_folder_at:
            return
        due = min(self._watched.values(), key=lambda watched: watched.looked_in, default=None)
        if due is None or now - due.looked_in < _LEAST_PAUSE:
            return
        due.looked_in = now
        size, inodes = contents(str(due.worker.folder), most_inodes=self._bounds.inodes)
        self._next_folder_at = now + (time.monotonic() - now) / FOLDER_SHARE
        if size > self._bounds.disk_bytes:
            self._end(due.worker, limits.disk_full(size, self._bounds, due.worker.calls.peak_kib))
        elif inodes > self._bounds.inodes:
            self._end(due.worker, limits.out_of_inodes(inodes, self._bounds, due.worker.calls.peak_kib))
