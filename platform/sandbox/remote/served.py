"""A gateway's call on this host: from its frames to the sandbox, and from its answer to frames."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from cloudserve.sandbox.abc import Answer, Deployment, InvocationFailed, Outcome, Sandbox
from cloudserve.sandbox.heads import WrittenCall
from cloudserve.sandbox.protocol import WHOLE_BYTES, WINDOW_BYTES, ProtocolError
from cloudserve.sandbox.remote.results import (
    write_failed,
    write_logs,
    write_outcome,
    write_result,
    write_stream_head,
)
from cloudserve.sandbox.remote.streams import Inflow, Outflow
from cloudserve.sandbox.remote.wire import END, frame

if TYPE_CHECKING:
    from cloudserve.sandbox.remote.serving import ServingLink


class ServedCall:
    """A call that a gateway has sent. It takes itself out of the link's calls when it is over."""

    body: Inflow | None = None
    _task: "asyncio.Task[None] | None" = None
    _outflow: Outflow | None = None
    _give_up: Callable[[], None] | None = None
    _over = False

    def __init__(self, link: "ServingLink", number: int) -> None:
        self._link = link
        self._number = number

    def begin(self, sandbox: Sandbox, deployment: Deployment, head: bytes, body: bytes) -> None:
        """Runs a call whose body is here."""
        self._give_up = sandbox.submit(deployment, WrittenCall(head, body), self._ended)

    def open(self, sandbox: Sandbox, deployment: Deployment, head: bytes) -> None:
        """Runs a call whose body follows."""
        self.body = Inflow(self._link, self._number)
        self.body.open()
        self._give_up = sandbox.submit(deployment, WrittenCall(head, self.body), self._ended)

    def warm(self, sandbox: Sandbox, deployment: Deployment) -> None:
        """Has a worker ready."""
        self._task = asyncio.get_running_loop().create_task(self._warm(sandbox, deployment))

    def part(self, payload: bytes) -> None:
        """Takes a PART frame. Raises `ProtocolError`."""
        if self.body is None:
            raise ProtocolError("A part of a body that came whole.")
        self.body.take(payload)

    def end_body(self) -> None:
        """Takes the END frame of the request's body."""
        if self.body is not None:
            self.body.end()

    def credit(self, payload: bytes) -> None:
        """Takes a CREDIT frame."""
        if self._outflow is not None:
            self._outflow.credit(payload)

    def cancel(self) -> None:
        """Gives the call up: the gateway has no use for its answer any more."""
        if self._over:
            return
        self._leave()
        if self._task is not None:
            self._task.cancel()
        elif self._give_up is not None:
            self._give_up()

    def _ended(self, end: Answer | InvocationFailed) -> None:
        if self._over:
            return
        if isinstance(end, InvocationFailed):
            self._fail(end)
        elif end.body is None or len(end.body) > WHOLE_BYTES:
            self._outflow = Outflow(self._link, self._number, WINDOW_BYTES)
            self._task = asyncio.get_running_loop().create_task(self._stream(end, self._outflow))
        else:
            outcome = end.outcome
            if outcome.logs:
                self._send_logs(outcome)
            self._link.send(write_result(self._number, end.status, end.headers, outcome, end.body))
            self._leave()

    async def _stream(self, answer: Answer, outflow: Outflow) -> None:
        length = None
        headers = []
        for name, value in answer.headers:
            if name == b"content-length":
                length = int(value)
            else:
                headers.append((name, value))
        self._link.send(write_stream_head(self._number, answer.status, headers, answer.cold, length))
        try:
            async for part in answer.parts():
                await outflow.send(part)
            self._send_logs(answer.outcome)
            self._link.send(frame(END, self._number, write_outcome(answer.outcome)))
            self._leave()
        except InvocationFailed as failed:
            self._fail(failed)
        finally:
            await answer.cancel()

    async def _warm(self, sandbox: Sandbox, deployment: Deployment) -> None:
        try:
            await sandbox.warm(deployment)
        except InvocationFailed as failed:
            self._fail(failed)
        else:
            self._link.send(write_result(self._number, 204, (), Outcome("success", 0, 0), b""))
            self._leave()

    def _fail(self, failed: InvocationFailed) -> None:
        self._send_logs(failed.outcome)
        self._link.send(write_failed(self._number, failed))
        self._leave()

    def _send_logs(self, outcome: Outcome) -> None:
        for data in write_logs(self._number, outcome.logs):
            self._link.send(data)

    def _leave(self) -> None:
        self._over = True
        self._link.over(self._number)
        if self.body is not None:
            self.body.end("the call is over")
