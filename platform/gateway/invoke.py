"""`/run/{owner}/{function}[/{path}]` as a plain ASGI application: the data plane's path from a request to its answer.

A warm call touches memory and the worker alone, but for one append to the spool; no store, no object store, no routing
table and no model validation are on its way.

Guarantees
- Whoever is answered by a function finds the execution's id in `x-cloudserve-execution-id`, and its record is in the
  spool before the answer ends.
- A caller who goes away ends the call; it is recorded with status 499.
- What fails before the first byte is answered as a problem; what fails after it ends the connection without the end of
  the body, so that nobody takes half an answer for a whole one.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from cloudserve.core.errors import Problem
from cloudserve.core.ids import new_id
from cloudserve.core.telemetry.correlation import correlation
from cloudserve.gateway import envelope
from cloudserve.gateway.admit import Admission
from cloudserve.gateway.asgi import Receive, Scope, Send
from cloudserve.gateway.body import Gone, LargeBody, read_body
from cloudserve.gateway.caller import Callers
from cloudserve.gateway.changes import ChangeFeed
from cloudserve.gateway.cors import is_preflight
from cloudserve.gateway.errors import internal_error, of_failure, unavailable, unknown_function
from cloudserve.gateway.headers import AnswerRules, read_head
from cloudserve.gateway.meters import Meters
from cloudserve.gateway.record import Begun
from cloudserve.gateway.recorder import Recorder
from cloudserve.gateway.resolve import Resolver
from cloudserve.gateway.responder import LengthMismatch, Responder
from cloudserve.sandbox.abc import Answer, Call, InvocationFailed, Outcome, Sandbox

GONE_STATUS: Final = 499
"""nginx's word for a caller who closed the connection; it is only ever recorded."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What every invocation needs."""

    feed: ChangeFeed
    resolver: Resolver
    admission: Admission
    sandbox: Sandbox
    recorder: Recorder
    meters: Meters
    max_body_mb: int


@dataclass(slots=True)
class _Execution(Begun):
    """A call that was admitted, and how it is answered."""

    responder: Responder
    envelope: bool

    @property
    def to_owner(self) -> bool:
        """Tells whether the caller has a key of the function's owner."""
        return self.key_id is not None


class Invocations:
    """The application, for one origin and its rules."""

    def __init__(self, parts: Parts, rules: AnswerRules) -> None:
        self._parts = parts
        self._rules = rules
        self._callers = Callers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1003, "reason": "functions answer HTTP"})
            return
        execution_id = new_id()
        responder = Responder(send, self._rules, scope["method"], execution_id)
        try:
            await self._serve(scope, receive, responder, execution_id)
        except Problem as problem:
            self._parts.meters.refused(problem.reason)
            await responder.problem(problem)
        except Gone:
            pass  # nobody is there to be answered
        except Exception:  # noqa: BLE001 - whatever a bug raises, the caller gets an answer
            ids = correlation(scope["headers"]) | {"executionId": execution_id}
            _log.exception("execution %s failed in the gateway", execution_id, extra=ids)
            if not responder.begun:
                await responder.problem(internal_error())

    async def _serve(self, scope: Scope, receive: Receive, responder: Responder, execution_id: str) -> None:
        parts = self._parts
        started = time.time()
        segments = scope["path"].split("/", 4)
        owner, name = (segments[2], segments[3]) if len(segments) > 3 else (segments[-1], "")
        headers = scope["headers"]
        head = read_head(headers)
        if not parts.feed.fresh:
            raise unavailable("The store has been away for too long to go on without it.")
        route = parts.resolver.cached(owner, name) or await parts.resolver.find(owner, name)
        if route is None:
            raise unknown_function(owner, name)
        if head.origin is not None and route.cors is not None:
            if is_preflight(scope["method"], headers):
                responder.allow(route.cors.on_preflight(head.origin, headers))
                await responder.whole(204, (), b"")
                return
            responder.allow(route.cors.on_answer(head.origin))
        key = await parts.admission.admit(route, head.credential, started)
        deployment = route.served()
        body = await read_body(head, receive, most_mb=parts.max_body_mb)
        if body:
            # A version may have gone live while the body came in.
            deployment = (await parts.resolver.find(owner, name) or route).served()
        client = scope.get("client")
        call = Call(
            execution_id=execution_id,
            method=scope["method"],
            path="/" + segments[4] if len(segments) > 4 else "/",
            query=scope["query_string"],
            headers=head.passed,
            body=body.parts() if isinstance(body, LargeBody) else body,
            client=client[0] if client else "",
            base_url=route.base_url,
        )
        key_id = None if key is None else key.id
        execution = _Execution(execution_id, started, deployment, key_id, responder, head.envelope)
        try:
            await self._execute(execution, parts.sandbox.invoke(deployment, call), receive)
        finally:
            if isinstance(body, LargeBody):
                body.close()

    async def go_on(
        self, begun: Begun, end: Answer | InvocationFailed, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answers a call that has already gone to the sandbox, and came back with more than one piece or with none."""
        responder = Responder(send, self._rules, scope["method"], begun.execution_id)
        execution = _Execution(
            begun.execution_id, begun.started, begun.deployment, begun.key_id, responder, envelope=False
        )
        await self._execute(execution, _given(end), receive)

    async def refuse(self, problem: Problem, execution_id: str, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answers a call that was not admitted."""
        self._parts.meters.refused(problem.reason)
        await Responder(send, self._rules, scope["method"], execution_id).problem(problem)

    async def _execute(self, execution: _Execution, answering: Awaitable[Answer], receive: Receive) -> None:
        watch = self._callers.watch(receive)
        watch.begin()
        answer: Answer | None = None
        try:
            answer = await answering
            if answer.body is None and not execution.envelope:
                await self._stream(execution, answer)
            else:
                await self._whole(execution, answer)
        except InvocationFailed as failure:
            await self._failed(execution, failure)
        except asyncio.CancelledError:
            if not watch.gone:
                raise
            self._record(execution, GONE_STATUS, ended(execution, "the caller went away"))
            if answer is not None:
                await answer.cancel()
        finally:
            watch.end()

    async def _whole(self, execution: _Execution, answer: Answer) -> None:
        body = answer.body
        if body is None:
            body = b"".join([part async for part in answer.parts()])
        outcome = answer.outcome
        if outcome.cold is not None:
            execution.responder.tell_cold(outcome.cold, outcome.duration_ms)
        self._record(execution, answer.status, outcome)
        if execution.envelope:
            wrapped = envelope.wrap(answer.headers, body, outcome, to_owner=execution.to_owner)
            await execution.responder.whole(answer.status, envelope.HEADERS, wrapped)
        else:
            await execution.responder.whole(answer.status, answer.headers, body)

    async def _stream(self, execution: _Execution, answer: Answer) -> None:
        responder = execution.responder
        if answer.cold is not None:
            responder.tell_cold(answer.cold)
        await responder.begin(answer.status, answer.headers)
        try:
            async for part in answer.parts():
                await responder.part(part)
            self._record(execution, answer.status, answer.outcome)
            await responder.end()
        except InvocationFailed as failure:
            self._record(execution, answer.status, failure.outcome)
            ids = {"executionId": execution.execution_id}
            _log.warning("execution %s broke off in its answer: %s", execution.execution_id, failure.reason, extra=ids)
        except LengthMismatch:
            ids = {"executionId": execution.execution_id}
            _log.warning("execution %s broke off: not of its content-length", execution.execution_id, extra=ids)
            await answer.cancel()

    async def _failed(self, execution: _Execution, failure: InvocationFailed) -> None:
        to_owner = execution.to_owner
        problem = of_failure(failure, to_owner=to_owner)
        self._record(execution, problem.status, failure.outcome)
        if failure.outcome.cold is not None:
            execution.responder.tell_cold(failure.outcome.cold, failure.outcome.duration_ms)
        if execution.envelope:
            wrapped = envelope.wrap_failure(failure.outcome, problem.message, to_owner=to_owner)
            headers = [*envelope.HEADERS, *((k.lower().encode(), v.encode()) for k, v in problem.headers.items())]
            await execution.responder.whole(problem.status, headers, wrapped)
        else:
            await execution.responder.problem(problem)

    def _record(self, execution: _Execution, status_code: int, outcome: Outcome) -> None:
        self._parts.recorder.record(execution, status_code, time.time(), outcome)


async def _given(end: Answer | InvocationFailed) -> Answer:
    if isinstance(end, InvocationFailed):
        raise end
    return end


def ended(begun: Begun, why: str) -> Outcome:
    """Returns the outcome of a call that its caller broke off."""
    return Outcome(status="error", duration_ms=(time.time() - begun.started) * 1000, memory_mb=0, error=why)
