"""The body of a request: whole when it is small, in parts as they arrive when it is large or of unknown length.

Guarantees
- No more than `most` bytes are taken: what is larger is refused before the function is called where its length is told,
  and else breaks the call off. `RequestBody.refusal` then holds the 413.
- What was not read is not held: parts are taken from the connection as fast as the function takes them.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from cloudserve.core.config import MEBIBYTE
from cloudserve.core.errors import Problem
from cloudserve.gateway.asgi import Receive
from cloudserve.gateway.errors import too_large
from cloudserve.gateway.headers import RequestHead

WHOLE_BYTES: Final = 256 * 1024


class Gone(Exception):  # noqa: N818 - reads as what happened
    """The caller went away."""


class RequestBody:
    """A body in parts, after the part `first`. `on_end` is called when the caller has sent all of it."""

    def __init__(self, receive: Receive, first: bytes, *, most_mb: int) -> None:
        self._receive = receive
        self._first = first
        self._most_mb = most_mb
        self.on_end: Callable[[], object] | None = None
        self.refusal: Problem | None = None

    async def parts(self) -> AsyncIterator[bytes]:
        """Yields the parts. Raises `Gone`, or the `Problem` of a body that is too large."""
        part, more = self._first, True
        size = 0
        while True:
            size += len(part)
            if size > self._most_mb * MEBIBYTE:
                self.refusal = too_large(self._most_mb)
                raise self.refusal
            if part:
                yield part
            if not more:
                if self.on_end is not None:
                    self.on_end()
                return
            part, more = await _next(self._receive)


async def read_body(head: RequestHead, receive: Receive, *, most_mb: int) -> bytes | RequestBody:
    """Returns the body. Raises `Problem` (413) and `Gone`."""
    if head.length <= 0 and not head.chunked:
        return b""
    if head.length > most_mb * MEBIBYTE:
        raise too_large(most_mb)
    part, more = await _next(receive)
    if not more:
        return part
    if not 0 < head.length <= WHOLE_BYTES:
        return RequestBody(receive, part, most_mb=most_mb)
    parts = [part]
    while more:
        part, more = await _next(receive)
        parts.append(part)
    return b"".join(parts)


async def _next(receive: Receive) -> tuple[bytes, bool]:
    message: Any = await receive()
    if message["type"] == "http.disconnect":
        raise Gone
    return message.get("body", b""), message.get("more_body", False)
