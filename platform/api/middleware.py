"""What every request of the platform's origin passes: its id, its log line, its size, its origin, its headers.

All of it is plain ASGI. What is under `/run` belongs to functions and passes untouched: the gateway has its own rules.
"""

import re
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import orjson
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloudserve.core.errors import MEDIA_TYPE, Problem
from cloudserve.core.ids import new_id
from cloudserve.core.telemetry.correlation import correlation

BODY_LIMIT: Final = 1024 * 1024
"""Bytes that a request's body may have, unless its route allows more with `allow_body`."""

log = structlog.get_logger("cloudserve.api")

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_STATE: Final = "cloudserve.request"

PROBES: Final = frozenset({"/healthz", "/readyz"})

_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_HTTPS_HEADERS: Final = {"strict-transport-security": "max-age=31536000"}


class _State:
    """What belongs to one request."""

    __slots__ = ("body_limit", "request_id")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.body_limit = BODY_LIMIT


def request_id_of(scope: Scope) -> str:
    """Returns the id of a request, as its answer and its log lines carry it; a fresh one for what has none."""
    state: _State | None = scope.get(_STATE)
    return state.request_id if state else new_id()


def allow_body(scope: Scope, limit: int) -> None:
    """Lets a request's body have `limit` bytes. Call it before the body is read."""
    scope[_STATE].body_limit = limit


def origin_of(url: str) -> str | None:
    """Returns the origin of a URL (RFC 6454, section 4), None when it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return None
    standard = port in {None, 443 if parts.scheme == "https" else 80}
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + ("" if standard else f":{port}")


class Envelope:
    """Gives a request its id, bounds its body, adds the headers of the origin, and turns a fault of ours into a 500.

    `on_answer` is told the method, the status and the seconds of each request that was answered.
    """

    def __init__(self, app: ASGIApp, *, https: bool, on_answer: Callable[[str, int, float], None]) -> None:
        self.app = app
        self._on_answer = on_answer
        self._headers = {**_HEADERS, **(_HTTPS_HEADERS if https else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http" or is_functions(scope):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        ids = correlation(scope["headers"])
        state = scope[_STATE] = _State(ids.setdefault("requestId", new_id()))
        status = 0
        started = time.perf_counter()

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = MutableHeaders(scope=message)
                own["x-request-id"] = state.request_id
                for name, value in self._headers.items():
                    own.setdefault(name, value)
            await send(message)

        with structlog.contextvars.bound_contextvars(**ids):
            try:
                await self.app(scope, _bounded(receive, headers, state), send_with_headers)
            except ClientDisconnect:
                log.info("the client has gone", method=scope["method"], path=scope["path"])
                return
            except Exception:
                log.exception("a request failed", method=scope["method"], path=scope["path"])
                if status:
                    raise
                problem = Problem(
                    500,
                    "Something went wrong on our side. The log has more under this request's id.",
                    reason="internal-error",
                )
                await render(problem, state.request_id)(scope, receive, send_with_headers)
            seconds = time.perf_counter() - started
            self._on_answer(scope["method"], status, seconds)
            (log.debug if scope["path"] in PROBES else log.info)(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                milliseconds=round(seconds * 1000, 1),
            )


class SameOrigin:
    """Refuses what changes state when another site sent it (cross-site request forgery, sign-in included).

    A request that a browser sent names its `Origin`, or else its `Referer`: it must be the platform's. One that names
    none passes only without a session cookie, which is how programs with a key call.
    """

    def __init__(self, app: ASGIApp, *, url: str, cookie: str) -> None:
        self.app = app
        self._origin = origin_of(url)
        self._cookie = re.compile(rf"(?:^|;)\s*{re.escape(cookie)}\s*=")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request, or refuses it."""
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS and not is_functions(scope):
            problem = self._fault(Headers(scope=scope))
            if problem is not None:
                await render(problem, request_id_of(scope))(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _fault(self, headers: Headers) -> Problem | None:
        source = headers.get("origin", headers.get("referer"))
        if source is None:
            if not any(self._cookie.search(cookie) for cookie in headers.getlist("cookie")):
                return None
            return Problem(
                403,
                f"A request with the session cookie must carry the header Origin: {self._origin}.",
                reason="origin-missing",
            )
        if origin_of(source) == self._origin:
            return None
        return Problem(
            403, f"Requests that change something must come from {self._origin}, not another site.", reason="origin"
        )


def render(problem: Problem, request_id: str) -> Response:
    """Returns the answer that tells of a problem."""
    body = orjson.dumps(problem.document(request_id), default=str)
    return Response(body, problem.status, problem.headers, media_type=MEDIA_TYPE)


def is_functions(scope: Scope) -> bool:
    """Tells whether a request is a function's, not the platform's."""
    path: str = scope["path"]
    return path.startswith("/run/")


def _bounded(receive: Receive, headers: Headers, state: _State) -> Receive:
    """Returns a `receive` that raises the 413 as soon as it is known, before anything is parsed."""
    length = headers.get("content-length", "")
    announced = int(length) if length.isascii() and length.isdigit() else 0
    received = 0

    async def receive_bounded() -> Message:
        nonlocal received
        if announced > state.body_limit:
            raise HTTPException(413)
        message = await receive()
        if message["type"] == "http.request":
            received += len(message.get("body", b""))
            if received > state.body_limit:
                raise HTTPException(413)
        return message

    return receive_bounded
