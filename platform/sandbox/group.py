"""The workers of one version and the calls that wait for one of them.

Single flight: of the workers that are starting, each is counted for `concurrency` of the waiting calls, so a burst of N
calls on a cold version starts ceil(N / concurrency) workers and not one more. Calls wait in the order they came.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from cloudserve.sandbox.abc import Deployment, LogEntry
from cloudserve.sandbox.ends import WorkerLost
from cloudserve.sandbox.failures import Failure
from cloudserve.sandbox.flight import Flight
from cloudserve.sandbox.processors import Processors
from cloudserve.sandbox.spread import ENOUGH, PATIENCE_SECONDS, Spread
from cloudserve.sandbox.worker import Worker

MAX_WAITING: Final = 1000
"""Calls that may wait for one version; more would only time out in the queue."""

_LEAST_PAUSE: Final = 0.02
_FIRST_BACKOFF: Final = 0.25
_LONGEST_BACKOFF: Final = 30.0


class Group:
    """The workers of one version. Who owns it calls `grow` when there is room for more of them."""

    def __init__(
        self,
        deployment: Deployment,
        queue_seconds: float,
        grow: Callable[["Group"], None],
        on_idle: Callable[[], None],
        processors: Processors,
    ) -> None:
        self.deployment = deployment
        self.workers: set[Worker] = set()
        self.starting = 0
        self.keep = 0
        self.retired = False
        self.waiting: deque[Flight] = deque()
        self._notes: list[LogEntry] = []
        self._free: list[Worker] = []
        self._spread = Spread(processors)
        self._held: deque[Flight] = deque()
        self._looking = False
        self._grow = grow
        self._on_idle = on_idle
        self._first: asyncio.Future[None] | None = None
        self._queue_seconds = queue_seconds
        self._queue_timer: asyncio.TimerHandle | None = None
        self._failures = 0
        self._failure: Failure | None = None
        self._failed_at = 0.0
        self._retry_at = 0.0

    @property
    def concurrency(self) -> int:
        return self.deployment.limits.concurrency

    @property
    def idle(self) -> list[Worker]:
        """The workers without a call, in no order."""
        return [worker for worker in self.workers if not worker.busy and not worker.stopping]

    def submit(self, flight: Flight) -> None:
        """Begins a call, or lets it wait."""
        free = self._free
        if free and self._spread.is_enough(len(self.workers) - len(free)) and self.concurrency == 1:
            self._hold(flight)
            return
        while free:
            worker = free[-1]
            if worker.has_room():
                worker.begin(flight)
                if not worker.has_room():
                    free.pop()
                    worker.listed_free = False
                return
            free.pop()
            worker.listed_free = False
        self._wait(flight)

    @property
    def under_way(self) -> bool:
        """Whether any call waits or is in a worker."""
        return bool(self.waiting or self._held) or any(worker.busy for worker in self.workers)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to remember of it: no worker, no call, no load that just failed, nothing to tell."""
        failed = self._failures and not self.retired and time.monotonic() < self._failed_at + 2 * _LONGEST_BACKOFF
        told = self.retired or not self._notes
        return told and not (self.workers or self.starting or self.queued or self.keep or failed or self._first)

    async def first_worker(self) -> None:
        """Waits until a worker is ready. Raises `WorkerLost` when the code does not load."""
        if self.workers:
            return
        refusal = self.refused()
        if refusal is not None:
            raise WorkerLost(refusal)
        if self._first is None:
            self._first = asyncio.get_running_loop().create_future()
            self._first.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._grow(self)
        await asyncio.shield(self._first)

    def wanted(self) -> int:
        """Returns how many more workers the waiting calls and the warm minimum need, the version's own bound kept."""
        waiting = sum(1 for flight in self.waiting if not flight.answered)
        for_calls = math.ceil(waiting / self.concurrency) - self.starting
        alive = self.starting + sum(1 for worker in self.workers if not worker.stopping)
        for_warmth = 0 if self.retired or self.refused() else max(self.keep, self._first is not None) - alive
        return min(max(for_calls, for_warmth), self.deployment.limits.max_workers - alive)

    def refused(self) -> Failure | None:
        """Returns why no worker is started now: the code failed to load, and its next try is not due."""
        return self._failure if time.monotonic() < self._retry_at else None

    def joined(self, worker: Worker) -> None:
        """Takes in a worker that has loaded the code."""
        self._failures = 0
        self._failure = None
        worker.on_room = self.room
        while self._notes:
            worker.calls.note(self._notes.pop())
        self.workers.add(worker)
        first, self._first = self._first, None
        if first is not None and not first.done():
            first.set_result(None)
        self.room(worker)

    def note(self, entry: LogEntry) -> None:
        """Adds a line to the log of the first call of the next worker."""
        self._notes = [entry]

    def left(self, worker: Worker) -> None:
        """Forgets a worker that has ended."""
        self.workers.discard(worker)

    def did_not_start(self, lost: WorkerLost) -> None:
        """Fails what waits: the code does not load. The next try waits longer each time."""
        self._failures += 1
        self._failure = lost.failure
        self._failed_at = time.monotonic()
        if self._failures > 1:
            pause = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0 ** (self._failures - 2))
            self._retry_at = self._failed_at + pause
        first, self._first = self._first, None
        if first is not None and not first.done():
            first.set_exception(lost)
        if not self.workers:
            self.fail_waiting(lost.failure)

    def room(self, worker: Worker) -> None:
        """Gives a worker that has room what waits longest."""
        self._spread.ended(worker.calls.last_seconds)
        while (waiting := self.waiting or self._held) and worker.has_room():
            flight = waiting.popleft()
            if not flight.answered:
                worker.begin(flight)
        if not worker.has_room():
            return
        if self.retired and not worker.busy:
            worker.stop()
        elif not worker.listed_free:
            worker.listed_free = True
            self._free.append(worker)
        if not worker.busy:
            self._on_idle()

    def retire(self) -> None:
        """Lets calls under way and waiting ones finish, and ends each worker when it has nothing left to do."""
        self.retired = True
        self.keep = 0
        if not self.waiting and not self._held:
            for worker in self.idle:
                worker.stop()

    def fail_waiting(self, failure: Failure) -> None:
        """Fails every call that waits."""
        waiting = [*self.waiting, *self._held]
        self.waiting.clear()
        self._held.clear()
        for flight in waiting:
            flight.fail(failure)

    @property
    def queued(self) -> int:
        """The calls that wait."""
        return len(self.waiting) + len(self._held)

    def _hold(self, flight: Flight) -> None:
        """Lets a call wait for a busy worker, although others are free."""
        self._held.append(flight)
        self._look_at_held_soon()

    def _look_at_held_soon(self) -> None:
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._look_at_held)

    def _look_at_held(self) -> None:
        """Wakes further workers for held calls: one for each that is at a long call, or for all where few won't do."""
        self._looking = False
        held, free = self._held, self._free
        busy = len(self.workers) - len(free)
        begun = time.perf_counter() - PATIENCE_SECONDS
        long = sum(1 for worker in self.workers if worker.busy and worker.calls.last_begun < begun)
        more = ENOUGH + long - busy if self._spread.is_enough(busy) else len(held)
        while held and (free or not self.workers) and more > 0:
            flight = held.popleft()
            if flight.answered:
                continue
            more -= 1
            worker = free.pop() if free else None
            if worker is not None and worker.has_room():
                worker.listed_free = False
                worker.begin(flight)
            else:
                self._wait(flight)
        if held:
            self._look_at_held_soon()

    def _wait(self, flight: Flight) -> None:
        refusal = self.refused()
        if refusal is not None:
            flight.fail(refusal)
        elif len(self.waiting) >= MAX_WAITING:
            flight.fail(self._overloaded())
        else:
            flight.queued = time.monotonic()
            self.waiting.append(flight)
            self._grow(self)
            if self._queue_timer is None and self.waiting:
                self._arm(self._queue_seconds)

    def _look_at_queue(self) -> None:
        """Fails the calls that waited too long, but not those that a worker is being started for."""
        self._queue_timer = None
        now = time.monotonic()
        to_be_served = self.starting * self.concurrency
        next_due = now + self._queue_seconds
        waiting, self.waiting = self.waiting, deque()
        for flight in waiting:
            if flight.answered:
                continue
            due = flight.queued + self._queue_seconds
            if len(self.waiting) < to_be_served or due > now:
                self.waiting.append(flight)
                if due > now:
                    next_due = min(next_due, due)
            else:
                flight.fail(self._overloaded())
        if self.waiting:
            self._arm(max(next_due - now, _LEAST_PAUSE))

    def _arm(self, seconds: float) -> None:
        self._queue_timer = asyncio.get_running_loop().call_later(seconds, self._look_at_queue)

    def _overloaded(self) -> Failure:
        """Says whose bound it was that the call waited for: the function's own (429) or the host's (503)."""
        limits = self.deployment.limits
        alive = self.starting + len(self.workers)
        if alive >= limits.max_workers:
            bound = f"{limits.max_workers} workers with {limits.concurrency} calls each"
            return Failure(
                "overloaded",
                f"The function's own limit is reached: {bound}. Raise maxWorkers or concurrency, or call less often.",
                status=429,
                limit=bound,
                retry_after=1,
            )
        return Failure("overloaded", "No worker became free in time. Try again shortly.", retry_after=1)
