"""The straight way of a warm call: from its request to its answer without a task, a future or an ASGI message.

It takes a call whose request is here whole, whose function and key are in memory, and that asks for nothing special.
Every other call goes the way of `invoke`, and so does one that was taken and is then refused, fails, or is not
answered in one piece. Both ways ask the same parts (`resolve`, `admit`, `headers`, `recorder`) and keep the same
guarantees.

The answers of one turn of the event loop leave together, behind one append to the spool for all their records.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE

from cloudserve.core.errors import Problem
from cloudserve.core.ids import new_id
from cloudserve.gateway.asgi import Receive, Scope, Send
from cloudserve.gateway.errors import internal_error
from cloudserve.gateway.headers import AnswerRules, RequestHead
from cloudserve.gateway.invoke import GONE_STATUS, Invocations, Parts, ended
from cloudserve.gateway.record import Begun, encode
from cloudserve.gateway.route import Route
from cloudserve.sandbox.abc import Answer, Call, Headers, InvocationFailed

_KEPT_HEADS: Final = 1024
_KEPT_HEAD_BYTES: Final = 512
_BODILESS: Final = (204, 304)

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Request:
    """A request that is here whole. `query` is what was sent, `client` an address."""

    method: str
    path: str
    query: bytes
    head: RequestHead
    body: bytes
    client: str


class Connection(Protocol):
    """Where a request came from, and its answer goes to."""

    def begun(self, call: "StraightCall") -> None:
        """Takes note that the request has become this call."""

    def answer(self, call: "StraightCall", status: int, head: bytes, body: bytes) -> None:
        """Sends an answer; `head` are the lines that follow the server's own."""

    def go_on(self, call: "StraightCall", application: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        """Has the call answered by an ASGI application."""


@dataclass(slots=True, eq=False)
class StraightCall(Begun):
    """A call that was taken; `waiting` for the sandbox until that has answered, or the caller has gone."""

    straight: "Straight"
    connection: Connection
    method: str
    keep_alive: bool = True
    response_complete: bool = False
    waiting: bool = True
    give_up: Callable[[], None] | None = None

    def on_end(self, end: Answer | InvocationFailed) -> None:
        """Takes what the sandbox has to say."""
        self.waiting = False
        try:
            self.straight.end(self, end)
        except Exception:  # noqa: BLE001 - whatever a bug raises, the caller gets an answer, and the sandbox no error
            self.straight.fail(self)

    def gone(self) -> None:
        """Takes note that the caller has closed the connection."""
        if self.waiting and self.give_up is not None:
            self.waiting = False
            self.give_up()
            self.straight.gone(self)


class Straight:
    """Takes calls for one origin."""

    def __init__(self, parts: Parts, rules: AnswerRules, invocations: Invocations) -> None:
        self._parts = parts
        self._invocations = invocations
        self._dropped = rules.dropped_whole
        self._added = b"".join(_line(name, value) for name, value in rules.added)
        self._heads: dict[Headers, bytes] = {}
        self._ended: list[tuple[StraightCall, Answer, bytes]] = []
        self._records: list[bytes] = []
        self._loop = asyncio.get_running_loop()

    def take(self, request: Request, connection: Connection) -> bool:
        """Begins a call; False, and nothing was done, when it has to go the other way."""
        parts = self._parts
        head = request.head
        segments = request.path.split("/", 4)
        if len(segments) < 4 or head.envelope or not parts.feed.fresh:
            return False
        route = parts.resolver.cached(segments[2], segments[3])
        if route is None or route.state != "live" or route.deployment is None:
            return False
        if head.origin is not None and route.cors is not None:
            return False
        key = None
        credential = head.credential
        if credential:
            key = parts.admission.cached(credential)
            if key is None:
                return False
        call = StraightCall(new_id(), time.time(), route.deployment, None, self, connection, request.method)
        connection.begun(call)
        try:
            key = parts.admission.admit_known(route, key, call.started, given=credential is not None)
            if key is not None:
                call.key_id = key.id
            self._submit(call, request, route, segments[4] if len(segments) > 4 else "")
        except Problem as problem:
            connection.go_on(call, partial(self._invocations.refuse, problem, call.execution_id))
        except Exception:  # noqa: BLE001 - whatever a bug raises, the caller gets an answer
            self.fail(call)
        return True

    def _submit(self, call: StraightCall, request: Request, route: Route, path: str) -> None:
        call.give_up = self._parts.sandbox.submit(
            call.deployment,
            Call(
                call.execution_id,
                request.method,
                "/" + path,
                request.query,
                request.head.passed,
                request.body,
                request.client,
                route.base_url,
            ),
            call.on_end,
        )

    def end(self, call: StraightCall, end: Answer | InvocationFailed) -> None:
        """Answers a call at the end of this turn, or has it go on the other way."""
        if isinstance(end, InvocationFailed) or end.body is None or call.method == "HEAD" or end.status in _BODILESS:
            self._go_on(call, end)
            return
        head = self._heads.get(end.headers) or self._render(end.headers)
        if head is None or end.outcome.cold is not None:
            self._go_on(call, end)
            return
        self._parts.meters.count(call.deployment, end.outcome)
        self._records.append(encode(call, end.status, time.time(), end.outcome))
        if not self._ended:
            self._loop.call_soon(self._flush)
        self._ended.append((call, end, head))

    def fail(self, call: StraightCall) -> None:
        """Answers a call that a bug has broken."""
        ids = {"executionId": call.execution_id}
        _log.exception("execution %s failed in the gateway", call.execution_id, extra=ids)
        call.connection.go_on(call, partial(self._invocations.refuse, internal_error(), call.execution_id))

    def gone(self, call: StraightCall) -> None:
        """Records a call whose caller did not wait for its answer."""
        self._parts.recorder.record(call, GONE_STATUS, time.time(), ended(call, "the caller went away"))

    def _go_on(self, call: StraightCall, end: Answer | InvocationFailed) -> None:
        call.connection.go_on(call, partial(self._invocations.go_on, call, end))

    def _flush(self) -> None:
        ends, self._ended = self._ended, []
        records, self._records = self._records, []
        self._parts.recorder.keep(*records)
        for call, answer, head in ends:
            body = answer.body or b""
            lines = b"%bx-cloudserve-execution-id: %b\r\ncontent-length: %d\r\n"
            call.connection.answer(call, answer.status, lines % (head, call.execution_id.encode(), len(body)), body)

    def _render(self, headers: Headers) -> bytes | None:
        """Returns the lines of an answer's headers; None for those that can't be sent, of which the other way tells."""
        if any(HEADER_RE.search(name) or HEADER_VALUE_RE.search(value) for name, value in headers):
            return None
        lines = [_line(name.lower(), value) for name, value in headers if name.lower() not in self._dropped]
        rendered = b"".join(lines) + self._added
        if len(rendered) <= _KEPT_HEAD_BYTES and isinstance(headers, tuple):
            if len(self._heads) >= _KEPT_HEADS:
                self._heads.clear()
            self._heads[headers] = rendered
        return rendered


def _line(name: bytes, value: bytes) -> bytes:
    return b"%b: %b\r\n" % (name, value)
