"""Tier C's rule: one owner at a time. A sandbox around others, each of which serves a single owner and then ends.

At tier C all workers belong to one user and share the process table, so nothing but time keeps owners apart. The first
owner that is served claims the place. While another waits, the claimant keeps it for a slice; then its calls finish,
every process ends, the work folder goes, and all of it is made anew for whoever is next (`line`). A call that has
waited as long as it may is refused with 503 and Retry-After.

The claims are kept in the gateway's process, and so is the pool that hands calls to workers; whatever touches an
owner's code is in the tree of processes below: warden, zygote, workers. A pool in a process of its own would keep
strangers no further apart, for it runs no code of theirs, and would put a second hop on every warm call.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from cloudserve.sandbox.abc import (
    Call,
    Deployment,
    InvocationFailed,
    OnEnd,
    Outcome,
    Sandbox,
    SandboxStats,
)
from cloudserve.sandbox.claimed_call import ClaimedCall
from cloudserve.sandbox.failures import Failure, error_of
from cloudserve.sandbox.line import Line
from cloudserve.sandbox.turnstile import Turnstile

SLICE_SECONDS: Final = 1.0
KEPT_SECONDS: Final = 3.0
"""How long a refused owner keeps its place in the line; longer than it is told to stay away."""

RETRY_AFTER_SECONDS: Final = 1
MAX_WAITING: Final = 1000
"""Calls that may wait for their owner's turn; more would only time out."""

_TAKEN: Final = Failure(
    "overloaded",
    "This host serves one owner at a time, and it is another's turn. Try again shortly.",
    retry_after=RETRY_AFTER_SECONDS,
)
_CLOSING: Final = Failure("shutdown", "The sandbox is closing.", retry_after=RETRY_AFTER_SECONDS)
_NOT_STARTED: Final = Failure("overloaded", "The sandbox could not be started.", retry_after=RETRY_AFTER_SECONDS)

_LONGEST_CALL_SLACK: Final = 2.0
_PAUSE_AFTER_FAILURE: Final = 0.5
_LOOK_SECONDS: Final = 0.05

_log = logging.getLogger(__name__)


class ClaimedSandbox(Sandbox):
    """Serves one owner at a time, each in a sandbox of its own.

    `Limits.min_warm` holds while the function's owner has the place: its workers are warmed whenever it gets it. `warm`
    claims a place that nobody has, but takes none from anybody.

    Args:
        make: returns a new sandbox, not started. The one before it has ended.
        turnstile: what another platform on the same data folder holds for as long as it may serve somebody.
        queue_seconds: the longest a call waits for its owner's turn.
        slice_seconds: how long an owner keeps the place while others wait.
    """

    def __init__(
        self,
        make: Callable[[], Sandbox],
        *,
        turnstile: Turnstile,
        queue_seconds: float,
        slice_seconds: float = SLICE_SECONDS,
    ) -> None:
        self._make = make
        self._turnstile = turnstile
        self._queue_seconds = queue_seconds
        self._line = Line(slice_seconds=slice_seconds, kept_seconds=KEPT_SECONDS)
        self._sandbox: Sandbox | None = None
        self._fresh = False  # it has served nobody
        self._waiting: dict[str, dict[ClaimedCall, None]] = {}
        self._under_way = 0
        self._longest = 0.0
        self._kept_warm: dict[str, Deployment] = {}
        self._warming: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._turning: asyncio.Task[None] | None = None
        self._ended = SandboxStats(workers=0, busy=0, waiting=0, starts=0, kills=0)
        self._closing = False
        self._loop: asyncio.AbstractEventLoop

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._turnstile.enter():
            self._sandbox = await self._started()
            self._fresh = True
        else:
            self._turning = self._loop.create_task(self._take_turns())

    def submit(self, deployment: Deployment, call: Call, on_end: OnEnd) -> Callable[[], None]:
        owner = deployment.owner_id
        claimed = ClaimedCall(deployment, call, on_end, self._over)
        if self._line.holder == owner:
            self._begin(claimed)
        elif self._closing:
            on_end(_failed(_CLOSING))
        elif self.is_free:
            self._claim(owner)
            self._begin(claimed)
        elif sum(len(calls) for calls in self._waiting.values()) >= MAX_WAITING:
            on_end(_failed(_TAKEN))
        else:
            self._wait(claimed)
        return claimed.give_up

    async def warm(self, deployment: Deployment) -> None:
        if deployment.limits.min_warm:
            self._kept_warm[deployment.function_id] = deployment
        if self.is_free:
            self._claim(deployment.owner_id)
        if self._line.holder == deployment.owner_id and self._sandbox is not None:
            warming = self._warm(self._sandbox, deployment)
            try:
                await asyncio.wait([warming])
            finally:
                warming.cancel()
            if not warming.cancelled():  # else its turn was over
                warming.result()

    async def retire(self, function_id: str, *, keep_version: str | None = None) -> None:
        kept = self._kept_warm.get(function_id)
        if kept is not None and kept.version_id != keep_version:
            del self._kept_warm[function_id]
        if self._sandbox is not None:
            await self._sandbox.retire(function_id, keep_version=keep_version)

    async def close(self, *, grace_seconds: float = 10) -> None:
        self._closing = True
        self._fail_waiting(_CLOSING)
        self._changed.set()
        if self._turning is not None:
            await self._turning
        await self._stop_warming()
        if self._sandbox is not None:
            await self._sandbox.close(grace_seconds=grace_seconds)
        self._turnstile.leave()

    def stats(self) -> SandboxStats:
        waiting = sum(len(calls) for calls in self._waiting.values())
        if self._sandbox is None:
            return replace(self._ended, waiting=waiting)
        now = self._sandbox.stats()
        return replace(_sum(now, self._ended), waiting=now.waiting + waiting)

    @property
    def holder(self) -> str | None:
        """The owner that has the place."""
        return self._line.holder

    @property
    def is_free(self) -> bool:
        """Whether there is a sandbox that has served nobody, and nobody in line for it."""
        settled = self._fresh and self._turning is None and not self._closing
        return settled and self._line.is_empty(self._loop.time())

    def serves(self, owner_id: str) -> bool:
        """Tells whether an owner's call would be served now, without waiting for its turn."""
        return self._line.holder == owner_id or self.is_free

    # -- a call's way to its owner's turn ------------------------------------------------------------------------

    def _begin(self, claimed: ClaimedCall) -> None:
        sandbox = self._sandbox
        assert sandbox is not None  # noqa: S101 - whoever holds the place has one
        self._under_way += 1
        self._longest = max(self._longest, claimed.deployment.limits.timeout_seconds)
        claimed.begin(sandbox)

    def _wait(self, claimed: ClaimedCall) -> None:
        owner = claimed.deployment.owner_id

        def expire() -> None:
            claimed.on_leave = None
            left(refused=True)
            claimed.on_end(_failed(_TAKEN))

        def left(*, refused: bool = False) -> None:
            timer.cancel()
            calls = self._waiting[owner]
            del calls[claimed]
            if not calls:
                del self._waiting[owner]
                self._line.leave(owner, self._loop.time() if refused else None)
                self._changed.set()

        timer = self._loop.call_later(self._queue_seconds, expire)
        claimed.on_leave = left
        self._waiting.setdefault(owner, {})[claimed] = None
        self._line.arrive(owner)
        self._changed.set()
        if self._turning is None:
            self._turning = self._loop.create_task(self._take_turns())

    def _claim(self, owner: str) -> None:
        self._line.claim(owner, self._loop.time())
        self._fresh = False
        sandbox = self._sandbox
        assert sandbox is not None  # noqa: S101 - only what is there is claimed
        for deployment in self._kept_warm.values():
            if deployment.owner_id == owner:
                # That its code does not load is told to the calls.
                self._warm(sandbox, deployment).add_done_callback(lambda task: task.cancelled() or task.exception())

    def _warm(self, sandbox: Sandbox, deployment: Deployment) -> asyncio.Task[None]:
        task = self._loop.create_task(sandbox.warm(deployment))
        self._warming.add(task)
        task.add_done_callback(self._warming.discard)
        return task

    def _over(self) -> None:
        self._under_way -= 1
        if self._turning is not None:
            self._changed.set()

    def _fail_waiting(self, failure: Failure) -> None:
        for claimed in [claimed for calls in self._waiting.values() for claimed in calls]:
            claimed.leave_line()
            claimed.on_end(_failed(failure))

    # -- from one owner to the next ------------------------------------------------------------------------------

    async def _take_turns(self) -> None:
        """Gives the place to one after the other until nobody is in line, and a sandbox is ready for the next."""
        line = self._line
        try:
            while not self._closing and (self._sandbox is None or not line.is_empty(self._loop.time())):
                if (left := line.slice_left(self._loop.time())) > 0:
                    await self._change(left)
                elif not self._fresh:
                    await self._renew()
                else:
                    owner, kept = line.next(self._loop.time())
                    if owner is None:
                        await self._change(kept)
                    else:
                        self._claim(owner)
                        for claimed in list(self._waiting.get(owner, ())):
                            claimed.leave_line()
                            self._begin(claimed)
        finally:
            self._turning = None

    async def _renew(self) -> None:
        """Ends the sandbox of the last owner, and starts one for the next."""
        self._line.give_way()
        ends_at = self._loop.time() + self._longest + _LONGEST_CALL_SLACK
        while self._under_way and self._loop.time() < ends_at:
            if self._closing:
                return
            await self._change(ends_at - self._loop.time())
        await self._stop_warming()
        while not self._turnstile.enter():
            await self._change(_LOOK_SECONDS)
            if self._closing:
                return
        try:
            if self._sandbox is not None:
                await self._sandbox.close(grace_seconds=0)
                self._ended, self._sandbox = _sum(self._ended, self._sandbox.stats()), None
            self._longest = 0.0
            self._sandbox = await self._started()
            self._fresh = True
        except Exception:  # noqa: BLE001 - whatever it was, nobody is served before both have come about
            _log.exception("the sandbox could not be made anew for the next owner")
            self._fail_waiting(_NOT_STARTED)
            await asyncio.sleep(_PAUSE_AFTER_FAILURE)

    async def _started(self) -> Sandbox:
        sandbox = self._make()
        try:
            await sandbox.start()
        except BaseException:
            await sandbox.close(grace_seconds=0)
            raise
        return sandbox

    async def _change(self, seconds: float) -> None:
        """Waits until something has changed, but no longer than that."""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def _stop_warming(self) -> None:
        for task in self._warming:
            task.cancel()
        await asyncio.gather(*self._warming, return_exceptions=True)


def _failed(failure: Failure) -> InvocationFailed:
    return error_of(failure, Outcome("error", 0, 0, error=failure.message, reason=failure.reason))


def _sum(now: SandboxStats, ended: SandboxStats) -> SandboxStats:
    """Adds what an ended sandbox has counted."""
    return replace(now, starts=now.starts + ended.starts, kills=now.kills + ended.kills)
