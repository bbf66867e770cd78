"""The body of a request, all of which is here before a worker is asked for: a caller who stalls keeps none busy.

Guarantees
- No more than `most_mb` are taken: what is larger is refused, at once where its length is told, and else when it has
  become too large.
- `WHOLE_BYTES` of a body are held in memory at most until it is complete, the rest in a file without a name.
"""

import tempfile
from collections.abc import AsyncIterator
from typing import Any, Final

from cloudserve.core.config import MEBIBYTE
from cloudserve.gateway.asgi import Receive
from cloudserve.gateway.errors import too_large
from cloudserve.gateway.headers import RequestHead

WHOLE_BYTES: Final = 256 * 1024
_PART_BYTES: Final = 64 * 1024


class Gone(Exception):  # noqa: N818 - reads as what happened
    """The caller went away."""


class LargeBody:
    """A body of more than `WHOLE_BYTES`. `close` it."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - `close` does
        self.size = 0

    def add(self, part: bytes) -> None:
        """Takes a part. The kernel writes to the disk when it likes, so this waits for none."""
        self._file.write(part)
        self.size += len(part)

    async def parts(self) -> AsyncIterator[bytes]:
        """Yields the body."""
        self._file.seek(0)
        while part := self._file.read(_PART_BYTES):
            yield part

    def close(self) -> None:
        """Gives the room back."""
        self._file.close()


async def read_body(head: RequestHead, receive: Receive, *, most_mb: int) -> bytes | LargeBody:
    """Returns the body. Raises `Problem` (413) and `Gone`."""
    if head.length <= 0 and not head.chunked:
        return b""
    if head.length > most_mb * MEBIBYTE:
        raise too_large(most_mb)
    part, more = await _next(receive)
    if not more:
        return part
    parts, size = [part], len(part)
    while more and size <= WHOLE_BYTES:
        part, more = await _next(receive)
        parts.append(part)
        size += len(part)
    if size <= WHOLE_BYTES:
        return b"".join(parts)
    large = LargeBody()
    try:
        for part in parts:
            large.add(part)
        while more:
            part, more = await _next(receive)
            large.add(part)
            if large.size > most_mb * MEBIBYTE:
                raise too_large(most_mb)
    except BaseException:
        large.close()
        raise
    return large


async def _next(receive: Receive) -> tuple[bytes, bool]:
    message: Any = await receive()
    if message["type"] == "http.disconnect":
        raise Gone
    return message.get("body", b""), message.get("more_body", False)
