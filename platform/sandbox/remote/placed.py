"""A call on its way: from the host that was chosen for it to its one end, whatever happens to the host meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING

from cloudserve.sandbox.abc import Call, Deployment, InvocationFailed, LogEntry, OnEnd, Outcome
from cloudserve.sandbox.answers import StreamedAnswer, WholeAnswer
from cloudserve.sandbox.failures import Failure, error_of
from cloudserve.sandbox.heads import check_status, read_head
from cloudserve.sandbox.protocol import U32, WINDOW_BYTES, ProtocolError
from cloudserve.sandbox.remote.results import Result, read_failed, read_logs, read_outcome, read_stream_head
from cloudserve.sandbox.remote.streams import Outflow
from cloudserve.sandbox.remote.wire import CANCEL, CREDIT, END, frame

if TYPE_CHECKING:
    from cloudserve.sandbox.remote.calling import CallingLink
    from cloudserve.sandbox.remote.member import Member


class PlacedCall:
    """A call, or without `call` the warming of a worker, which is answered as a call is.

    `again` places a call elsewhere that was not begun where it was; it is asked once at most.
    """

    member: "Member | None" = None
    """The host that was chosen for it; it counts there for as long as this is set."""

    link: "CallingLink | None" = None
    """The connection that it was written to."""

    number = 0
    waits_in: "dict[PlacedCall, None] | None" = None
    """Where it waits until its host has what it needs."""

    may_wait = False
    moved = False
    ended = False
    answer: StreamedAnswer | None = None
    logs: list[LogEntry] | None = None
    outflow: Outflow | None = None
    upload: "asyncio.Task[None] | None" = None

    def __init__(self, deployment: Deployment, call: Call | None, on_end: OnEnd, again: "Again") -> None:
        self.deployment = deployment
        self.call = call
        self._on_end = on_end
        self._again = again
        self._begun = time.perf_counter()

    def give_up(self) -> None:
        """Ends the call for its caller, who is gone; nothing happens to one that has ended."""
        if self.ended:
            return
        self._cancel()
        self._end()
        if self.answer is not None:
            failure = Failure("exception", "The caller went away.", name="Cancelled")
            outcome = self._outcome(failure)
            self.answer.end(outcome, error_of(failure, outcome))

    def not_begun(self, why: Failure) -> None:
        """Takes note that its host has not begun it, so that it may go elsewhere."""
        before = self.member
        self._withdraw()
        if self.moved or before is None:
            self.fail(why)
        else:
            self.moved = True
            self._again(self, before, why)

    def fail(self, failure: Failure) -> None:
        """Ends the call without an answer, or breaks its stream."""
        if not self.ended:
            self._fail(error_of(failure, self._outcome(failure)))

    # -- what its host says --------------------------------------------------------------------------------------

    def result(self, payload: bytes) -> None:
        """Takes a RESULT frame."""
        if self.answer is not None:
            raise ProtocolError("A second answer to one call.")
        result = Result(payload)
        if self.logs is not None:
            result.logs = self.logs
        check_status(result.status)
        headers = read_head(result.head)
        self._end()
        self._on_end(WholeAnswer(result.status, headers, result.body, result.outcome))

    def head(self, payload: bytes) -> None:
        """Takes a HEAD frame."""
        link = self.link
        if self.answer is not None or link is None:
            raise ProtocolError("A second answer to one call.")
        status, length, cold, head = read_stream_head(payload)
        check_status(status)
        headers = read_head(head)
        if length is not None:
            headers = (*headers, (b"content-length", str(length).encode()))
        self.answer = StreamedAnswer(
            status, headers, on_consumed=partial(self._consumed, link), on_given_up=self.give_up
        )
        self.answer.cold = cold
        self._on_end(self.answer)

    def part(self, payload: bytes) -> None:
        """Takes a PART frame."""
        if self.answer is None or self.answer.held + len(payload) > WINDOW_BYTES:
            raise ProtocolError("A part before the head, or more than there is credit for.")
        self.answer.take(payload)

    def close(self, payload: bytes) -> None:
        """Takes the END frame of a streamed answer."""
        if self.answer is None:
            raise ProtocolError("The end of an answer before its head.")
        outcome = read_outcome(payload, self.logs or ())
        self._end()
        self.answer.end(outcome)

    def failed(self, payload: bytes) -> None:
        """Takes a FAILED frame."""
        self._fail(read_failed(payload, self.logs or ()))

    def log(self, payload: bytes) -> None:
        """Takes a LOG frame."""
        self.logs = [*(self.logs or ()), *read_logs(payload)]

    def credit(self, payload: bytes) -> None:
        """Takes a CREDIT frame: the host wants more of the request's body, which it has none of at first."""
        if self.outflow is None or self.link is None or self.call is None:
            raise ProtocolError("Credit for a body that was sent whole.")
        self.outflow.credit(payload)
        if self.upload is None:
            self.upload = asyncio.get_running_loop().create_task(self._upload(self.link, self.outflow, self.call.body))

    # -- ends ----------------------------------------------------------------------------------------------------

    async def _upload(self, link: "CallingLink", outflow: Outflow, body: bytes | AsyncIterator[bytes]) -> None:
        try:
            if isinstance(body, bytes):
                await outflow.send(body)
            else:
                async for chunk in body:
                    await outflow.send(chunk)
            link.send(frame(END, self.number))
        except Exception as error:  # noqa: BLE001 - whatever the caller's stream raises ends this call alone
            if not self.ended:
                self._cancel()
                self.fail(Failure("exception", f"The request's body broke off: {error}.", status=400))

    def _consumed(self, link: "CallingLink", size: int) -> None:
        if not self.ended:
            link.send(frame(CREDIT, self.number, U32.pack(size)))

    def _fail(self, error: InvocationFailed) -> None:
        self._end()
        if self.answer is not None:
            self.answer.end(error.outcome, error)
        else:
            self._on_end(error)

    def _end(self) -> None:
        self.ended = True
        if self.upload is not None and not self.upload.done():
            self.upload.cancel()
        self._withdraw()

    def _withdraw(self) -> None:
        """Takes it from where it waits or goes on."""
        member, self.member = self.member, None
        if member is not None:
            member.in_flight -= 1
        if self.waits_in is not None:
            self.waits_in.pop(self, None)
            self.waits_in = None
        elif self.link is not None:
            self.link.calls.pop(self.number, None)
            self.link = None

    def _cancel(self) -> None:
        if self.link is not None:
            self.link.send(frame(CANCEL, self.number))

    def _outcome(self, failure: Failure) -> Outcome:
        return Outcome(
            "error",
            (time.perf_counter() - self._begun) * 1000,
            0,
            logs=self.logs or (),
            error=failure.detail or failure.message,
            error_name=failure.name,
            reason=failure.reason,
        )


Again = Callable[[PlacedCall, "Member", Failure], None]
"""Places a call elsewhere; takes where it was, and why it was not begun there."""
