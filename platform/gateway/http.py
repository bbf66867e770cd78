"""uvicorn's HTTP protocol with one write per answer instead of two.

uvicorn writes the head of an answer and its body apart, and each write is a system call that wakes the caller: together
they are the dearest part of a warm call. Here what is written within one turn of the event loop leaves in one piece.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_PENDING_BYTES: Final = 64 * 1024


class JoinedWrites(asyncio.Transport):
    """A transport that joins the writes of one turn of the loop, up to `MOST_PENDING_BYTES`; else just `transport`."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._pending: list[bytes | bytearray | memoryview] = []
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Sends data, soon."""
        if not self._pending:
            self._loop.call_soon(self._flush)
        self._pending.append(data)
        self._size += len(data)
        if self._size >= MOST_PENDING_BYTES:
            self._flush()

    def close(self) -> None:
        """Closes the connection when everything is sent."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Closes the connection at once."""
        self._pending.clear()
        self._transport.abort()

    def is_closing(self) -> bool:
        """Tells whether the connection is closing or closed."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Returns what is known of the connection."""
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Has the caller wait."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Goes on after `pause_reading`."""
        self._transport.resume_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hands the connection to another protocol."""
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Returns the protocol that has the connection."""
        return self._transport.get_protocol()

    def _flush(self) -> None:
        if self._pending:
            self._transport.write(self._pending[0] if len(self._pending) == 1 else b"".join(self._pending))
            self._pending.clear()
            self._size = 0


class HttpProtocol(HttpToolsProtocol):
    """For `uvicorn.Config(http=…)`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes a new connection."""
        super().connection_made(JoinedWrites(transport, self.loop))
