"""The two kinds of answers, whole and streamed, and what became of their calls."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from cloudserve.sandbox.abc import Answer, Headers, InvocationFailed, Outcome


class WholeAnswer(Answer):
    """An answer that came in one piece. Its outcome is made when somebody asks for it."""

    __slots__ = ("_make", "_outcome", "body", "headers", "status")

    def __init__(self, status: int, headers: Headers, body: bytes, make: Callable[[], Outcome]) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self._make = make
        self._outcome: Outcome | None = None

    async def parts(self) -> AsyncIterator[bytes]:
        if self.body:
            yield self.body

    @property
    def outcome(self) -> Outcome:
        if self._outcome is None:
            self._outcome = self._make()
        return self._outcome

    async def cancel(self) -> None:
        """Does nothing: the call has ended."""


class StreamedAnswer(Answer):
    """An answer whose body comes in parts, at the pace of whoever reads it.

    `held` is how many bytes wait to be read. `on_consumed` is told the size of each part once it was taken,
    `on_given_up` when nobody wants the rest.
    """

    def __init__(
        self,
        status: int,
        headers: Headers,
        *,
        on_consumed: Callable[[int], None],
        on_given_up: Callable[[], None],
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = None
        self._parts: deque[bytes] = deque()
        self.held = 0
        self._on_consumed = on_consumed
        self._on_given_up = on_given_up
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._outcome: Outcome | None = None
        self._failure: InvocationFailed | None = None

    async def parts(self) -> AsyncIterator[bytes]:
        try:
            while True:
                while self._parts:
                    part = self._parts.popleft()
                    self.held -= len(part)
                    self._on_consumed(len(part))
                    yield part
                if self._failure is not None:
                    raise self._failure
                if self._ended:
                    return
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
        finally:
            await self.cancel()

    @property
    def outcome(self) -> Outcome:
        if self._outcome is None:
            raise RuntimeError("The answer is still under way.")
        return self._outcome

    async def cancel(self) -> None:
        if not self._ended:
            self._on_given_up()

    def take(self, part: bytes) -> None:
        """Adds a part."""
        self._parts.append(part)
        self.held += len(part)
        self._wake()

    def end(self, outcome: Outcome, failure: InvocationFailed | None = None) -> None:
        """Says that nothing comes after what has come; with a failure, that it broke here."""
        self._ended = True
        self._outcome = outcome
        self._failure = failure
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
