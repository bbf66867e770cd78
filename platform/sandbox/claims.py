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
import math
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Final

from cloudserve.sandbox.abc import Answer, Call, Deployment, InvocationFailed, OnEnd, Outcome, Sandbox, SandboxStats
from cloudserve.sandbox.failures import Failure, error_of
from cloudserve.sandbox.line import Line

SLICE_SECONDS: Final = 1.0
KEPT_SECONDS: Final = 3.0
"""How long a refused owner keeps its place in the line; longer than it is told to stay away."""

RETRY_AFTER_SECONDS: Final = 1
MAX_WAITING: Final = 1000
"""Calls that may wait for their owner's turn; more would only time out."""

_LONGEST_CALL_SLACK: Final = 2.0
_PAUSE_AFTER_FAILURE: Final = 0.5

_log = logging.getLogger(__name__)


class ClaimedSandbox(Sandbox):
    """Serves one owner at a time, each in a sandbox of its own.

    `Limits.min_warm` holds while the function's owner has the place: its workers are warmed whenever it gets it. `warm`
    claims a place that nobody has, but takes none from anybody.

    Args:
        make: returns a new sandbox, not started. The one before it has ended.
        queue_seconds: the longest a call waits for its owner's turn.
        slice_seconds: how long an owner keeps the place while others wait.
    """

    def __init__(
        self, make: Callable[[], Sandbox], *, queue_seconds: float, slice_seconds: float = SLICE_SECONDS
    ) -> None:
        self._make = make
        self._queue_seconds = queue_seconds
        self._line = Line(slice_seconds=slice_seconds, kept_seconds=KEPT_SECONDS)
        self._sandbox: Sandbox | None = None
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._under_way = 0
        self._longest = 0.0
        self._kept_warm: dict[str, Deployment] = {}
        self._warming: set[asyncio.Task[None]] = set()
        self._coming: set[asyncio.Task[Callable[[], None]]] = set()
        self._changed = asyncio.Event()
        self._turning: asyncio.Task[None] | None = None
        self._ended = SandboxStats(workers=0, busy=0, waiting=0, starts=0, kills=0)
        self._closing = False
        self._loop: asyncio.AbstractEventLoop

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._sandbox = await self._started()

    def submit(self, deployment: Deployment, call: Call, on_end: OnEnd) -> Callable[[], None]:
        if self._line.holder == deployment.owner_id:
            self._under_way += 1
            return self._hand_over(deployment, call, on_end)
        task = self._loop.create_task(self._submit_in_turn(deployment, call, on_end))
        self._coming.add(task)
        task.add_done_callback(self._coming.discard)

        def give_up() -> None:
            if not task.cancel() and not task.cancelled():
                task.result()()

        return give_up

    async def _submit_in_turn(self, deployment: Deployment, call: Call, on_end: OnEnd) -> Callable[[], None]:
        try:
            await self._turn_of(deployment.owner_id)
        except InvocationFailed as failure:
            on_end(failure)
            return _nothing
        return self._hand_over(deployment, call, on_end)

    def _hand_over(self, deployment: Deployment, call: Call, on_end: OnEnd) -> Callable[[], None]:
        """Submits a call that counts as under way until it has ended, or was given up."""
        sandbox = self._sandbox
        assert sandbox is not None  # noqa: S101 - it stays while a call is under way
        self._longest = max(self._longest, deployment.limits.timeout_seconds)
        under_way = True

        def over() -> None:
            nonlocal under_way
            if under_way:
                under_way = False
                self._over()

        def ended(end: Answer | InvocationFailed) -> None:
            if isinstance(end, Answer) and end.body is None:
                on_end(_CountedAnswer(end, over))
            else:
                over()
                on_end(end)

        give_up = sandbox.submit(deployment, call, ended)

        def give_up_and_count() -> None:
            give_up()
            over()

        return give_up_and_count

    async def warm(self, deployment: Deployment) -> None:
        if deployment.limits.min_warm:
            self._kept_warm[deployment.function_id] = deployment
        if self._is_free():
            self._claim(deployment.owner_id)
        if self._line.holder == deployment.owner_id and self._sandbox is not None:
            await self._sandbox.warm(deployment)

    async def retire(self, function_id: str, *, keep_version: str | None = None) -> None:
        kept = self._kept_warm.get(function_id)
        if kept is not None and kept.version_id != keep_version:
            del self._kept_warm[function_id]
        if self._sandbox is not None:
            await self._sandbox.retire(function_id, keep_version=keep_version)

    async def close(self, *, grace_seconds: float = 10) -> None:
        self._closing = True
        self._fail_waiting(Failure("shutdown", "The sandbox is closing.", retry_after=RETRY_AFTER_SECONDS))
        self._changed.set()
        if self._turning is not None:
            await self._turning
        await self._stop_warming()
        if self._sandbox is not None:
            await self._sandbox.close(grace_seconds=grace_seconds)

    def stats(self) -> SandboxStats:
        waiting = sum(len(calls) for calls in self._waiting.values())
        if self._sandbox is None:
            return replace(self._ended, waiting=waiting)
        now = self._sandbox.stats()
        return replace(_sum(now, self._ended), waiting=now.waiting + waiting)

    # -- a call's way to its owner's turn ------------------------------------------------------------------------

    async def _turn_of(self, owner: str) -> None:
        """Returns when an owner has the place, with its call counted as under way. Raises `InvocationFailed`."""
        if self._closing:
            raise _failed(Failure("shutdown", "The sandbox is closing.", retry_after=RETRY_AFTER_SECONDS))
        if self._is_free():
            self._claim(owner)
            self._under_way += 1
            return
        if sum(len(calls) for calls in self._waiting.values()) >= MAX_WAITING:
            raise _failed(_taken())
        turn = self._loop.create_future()
        calls = self._waiting.setdefault(owner, set())
        calls.add(turn)
        self._line.arrive(owner)
        self._look()
        refused = False
        try:
            async with asyncio.timeout(self._queue_seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled() and turn.exception() is None:  # its turn came as it gave up
                self._over()
            refused = isinstance(error, TimeoutError)
            if refused:
                raise _failed(_taken()) from None
            raise
        finally:
            calls.discard(turn)
            if not calls:
                self._waiting.pop(owner, None)
                if refused:
                    self._line.refuse(owner, self._loop.time())
                else:
                    self._line.leave(owner)
                self._changed.set()

    def _is_free(self) -> bool:
        """Tells whether there is a sandbox that has served nobody, and nobody in line for it."""
        settled = self._turning is None and self._sandbox is not None and not self._closing
        return settled and self._line.holder is None and self._line.is_empty(self._loop.time())

    def _claim(self, owner: str) -> None:
        self._line.claim(owner, self._loop.time())
        sandbox = self._sandbox
        assert sandbox is not None  # noqa: S101 - only what is there is claimed
        for deployment in self._kept_warm.values():
            if deployment.owner_id == owner:
                task = self._loop.create_task(_warm_quietly(sandbox, deployment))
                self._warming.add(task)
                task.add_done_callback(self._warming.discard)

    def _over(self) -> None:
        self._under_way -= 1
        if self._turning is not None:
            self._changed.set()

    def _fail_waiting(self, failure: Failure) -> None:
        for calls in self._waiting.values():
            for turn in calls:
                if not turn.done():
                    turn.set_exception(_failed(failure))

    # -- from one owner to the next ------------------------------------------------------------------------------

    def _look(self) -> None:
        """Has somebody see to the line."""
        self._changed.set()
        if self._turning is None:
            self._turning = self._loop.create_task(self._take_turns())

    async def _take_turns(self) -> None:
        """Gives the place to one after the other until nobody is in line."""
        line = self._line
        try:
            while not self._closing and not line.is_empty(self._loop.time()):
                if (left := line.slice_left(self._loop.time())) > 0:
                    await self._change(left)
                elif line.holder is not None or self._sandbox is None:
                    await self._renew()
                else:
                    owner, kept = line.next(self._loop.time())
                    if owner is None:
                        await self._change(kept)
                    else:
                        self._claim(owner)
                        for turn in self._waiting.get(owner, ()):
                            if not turn.done():
                                self._under_way += 1
                                turn.set_result(None)
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
        old, self._sandbox = self._sandbox, None
        if old is not None:
            await old.close(grace_seconds=0)
            self._ended = _sum(self._ended, old.stats())
        self._longest = 0.0
        try:
            self._sandbox = await self._started()
        except Exception:  # noqa: BLE001 - whatever it was, the next call tries again
            _log.exception("no sandbox could be started for the next owner")
            self._fail_waiting(Failure("overloaded", "The sandbox could not be started.", retry_after=1))
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
            async with asyncio.timeout(seconds if seconds < math.inf else None):
                await self._changed.wait()

    async def _stop_warming(self) -> None:
        for task in self._warming:
            task.cancel()
        await asyncio.gather(*self._warming, return_exceptions=True)


class _CountedAnswer(Answer):
    """An answer in parts, which tells once when nothing more comes of it."""

    def __init__(self, answer: Answer, on_over: Callable[[], None]) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.body = None
        self._answer = answer
        self._on_over: Callable[[], None] | None = on_over

    async def parts(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._answer.parts():
                yield part
        finally:
            await self.cancel()

    @property
    def outcome(self) -> Outcome:
        return self._answer.outcome

    async def cancel(self) -> None:
        try:
            await self._answer.cancel()
        finally:
            on_over, self._on_over = self._on_over, None
            if on_over is not None:
                on_over()


async def _warm_quietly(sandbox: Sandbox, deployment: Deployment) -> None:
    """Warms what its owner wants warm. That its code does not load is told to the calls."""
    with contextlib.suppress(InvocationFailed):
        await sandbox.warm(deployment)


def _taken() -> Failure:
    return Failure(
        "overloaded",
        "This host serves one owner at a time, and it is another's turn. Try again shortly.",
        retry_after=RETRY_AFTER_SECONDS,
    )


def _failed(failure: Failure) -> InvocationFailed:
    return error_of(failure, Outcome("error", 0, 0, error=failure.message, reason=failure.reason))


def _sum(now: SandboxStats, ended: SandboxStats) -> SandboxStats:
    """Adds what an ended sandbox has counted."""
    return replace(now, starts=now.starts + ended.starts, kills=now.kills + ended.kills)


def _nothing() -> None:
    """What there is to give up of a call that has failed."""
