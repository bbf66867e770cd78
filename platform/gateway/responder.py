"""Answers one caller: keeps the origin's rules, and says which execution it was.

Guarantees
- The body goes out as fast as the connection takes it (`send` waits), and is never gathered here.
- A `Content-Length` that a stream carries is kept to: a body that differs breaks the answer off (`LengthMismatch`)
  instead of being taken for another.
- HEAD, 204 and 304 have no body, whatever the function returns.
"""

from typing import Final

from cloudserve.core.errors import Problem
from cloudserve.gateway.asgi import Send
from cloudserve.gateway.cors import PREFIX
from cloudserve.gateway.errors import RawHeaders, render
from cloudserve.gateway.headers import AnswerRules
from cloudserve.gateway.timing import server_timing
from cloudserve.sandbox.abc import ColdStart, Headers

_LENGTH: Final = b"content-length"
_BODILESS: Final = (204, 304)


class LengthMismatch(Exception):  # noqa: N818 - reads as what happened
    """A stream that is shorter or longer than its `Content-Length` says."""


class Responder:
    """The answer to one call; `begun` tells that its status is out, and so can't be taken back."""

    __slots__ = ("_added", "_has_cors", "_left", "_method", "_request_id", "_rules", "_send", "begun")

    def __init__(self, send: Send, rules: AnswerRules, method: str, execution_id: str) -> None:
        self._send = send
        self._rules = rules
        self._method = method
        self._request_id = execution_id
        self._added: RawHeaders = [(b"x-cloudserve-execution-id", execution_id.encode()), *rules.added]
        self._has_cors = False
        self._left: int | None = None
        self.begun = False

    def allow(self, cors: RawHeaders) -> None:
        """Adds the headers of the gateway's cross-origin rules, in place of the function's own."""
        self._has_cors = True
        self._added += cors

    def tell_cold(self, cold: ColdStart, handler_ms: float | None = None) -> None:
        """Adds what a cold start cost, and the handler where that is known: a stream begins before it has ended."""
        self._added.append((b"server-timing", server_timing(cold, handler_ms)))

    async def problem(self, problem: Problem) -> None:
        """Answers with a problem."""
        headers, body = render(problem, self._request_id)
        await self.whole(problem.status, headers, body)

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Answers with a body that is here."""
        if self._method == "HEAD" or status in _BODILESS:
            start = self._filtered(headers, self._rules.dropped)
            if status not in _BODILESS and not any(name.lower() == _LENGTH for name, _ in start):
                start.append((_LENGTH, b"%d" % len(body)))
            body = b""
        else:
            start = self._filtered(headers, self._rules.dropped_whole)
            start.append((_LENGTH, b"%d" % len(body)))
        self.begun = True
        await self._send({"type": "http.response.start", "status": status, "headers": start})
        await self._send({"type": "http.response.body", "body": body})

    async def begin(self, status: int, headers: Headers) -> None:
        """Begins an answer whose body comes in parts."""
        start = self._filtered(headers, self._rules.dropped)
        length = next((value for name, value in start if name.lower() == _LENGTH), None)
        bodiless = self._method == "HEAD" or status in _BODILESS
        self._left = None if length is None or bodiless else int(length)
        self.begun = True
        await self._send({"type": "http.response.start", "status": status, "headers": start})

    async def part(self, part: bytes) -> None:
        """Sends a part. Raises `LengthMismatch`."""
        if self._left is not None:
            self._left -= len(part)
            if self._left < 0:
                raise LengthMismatch
        await self._send({"type": "http.response.body", "body": part, "more_body": True})

    async def end(self) -> None:
        """Ends an answer that came in parts. Raises `LengthMismatch`."""
        if self._left:
            raise LengthMismatch
        await self._send({"type": "http.response.body", "body": b""})

    def _filtered(self, headers: Headers, dropped: frozenset[bytes]) -> RawHeaders:
        kept = [header for header in headers if header[0].lower() not in dropped]
        if self._has_cors:
            kept = [header for header in kept if not header[0].lower().startswith(PREFIX)]
        return kept + self._added
