"""One call's way through `claims`: in the line, in the sandbox of its owner's turn, and over."""

from collections.abc import AsyncIterator, Callable

from cloudserve.sandbox.abc import Answer, Call, Deployment, InvocationFailed, OnEnd, Outcome, Sandbox


class ClaimedCall:
    """A call that waits for its owner's turn, is under way, or is over.

    `on_end` is the caller's, `on_over` is called once when nothing more comes of it, `on_leave` as it leaves the line.
    """

    def __init__(self, deployment: Deployment, call: Call, on_end: OnEnd, on_over: Callable[[], None]) -> None:
        self.deployment = deployment
        self.on_end = on_end
        self.on_leave: Callable[[], None] | None = None
        self._call = call
        self._on_over: Callable[[], None] | None = on_over
        self._give_up: Callable[[], None] | None = None

    def begin(self, sandbox: Sandbox) -> None:
        """Hands the call to a sandbox."""
        self._give_up = sandbox.submit(self.deployment, self._call, self._ended)

    def leave_line(self) -> bool:
        """Takes it out of the line; tells whether it was in it."""
        leave, self.on_leave = self.on_leave, None
        if leave is not None:
            leave()
        return leave is not None

    def give_up(self) -> None:
        """Takes it out of the line, or gives it up where it is under way."""
        if not self.leave_line() and self._give_up is not None:
            self._give_up()
            self._over()

    def _ended(self, end: Answer | InvocationFailed) -> None:
        if isinstance(end, InvocationFailed) or end.body is not None:
            self._over()
            self.on_end(end)
        else:
            self.on_end(_CountedAnswer(end, self._over))

    def _over(self) -> None:
        on_over, self._on_over = self._on_over, None
        if on_over is not None:
            on_over()


class _CountedAnswer(Answer):
    """An answer in parts, which tells when nothing more comes of it."""

    def __init__(self, answer: Answer, on_over: Callable[[], None]) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.body = None
        self._answer = answer
        self._on_over = on_over

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
            self._on_over()
