"""One connection between a gateway and a sandbox host: frames in and out, and whether the other end is alive.

What is sent in one turn of the event loop leaves as one write, so that calls that come together share the cost of a
TLS record and a system call.
"""

import asyncio
import logging
import struct
from typing import Final, cast

from cloudserve.sandbox.protocol import FrameReader, ProtocolError
from cloudserve.sandbox.remote.wire import MAX_FRAME_BYTES

TICK_SECONDS: Final = 0.25
"""How often a gateway pings, and both ends look whether they have heard of each other."""

SUSPECT_TICKS: Final = 3
"""Ticks without a word after which a host counts as silent, and calls go to others. Ticks, and not a time: where this
process itself was held up, it has not listened either."""

DEAD_TICKS: Final = 20
"""Ticks without a word after which the connection is given up, with the calls in flight on it: many more, because a
busy host may come back, while what was given up is lost."""

_log = logging.getLogger(__name__)


class Link(asyncio.Protocol):
    """A connection's own end; `name` is the other."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._unheard = 0
        self.writable = asyncio.Event()
        self.writable.set()
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader(MAX_FRAME_BYTES)
        self._transport: asyncio.Transport | None = None
        self._ending = False
        self._out: list[bytes] = []

    @property
    def is_open(self) -> bool:
        """Whether anything can be sent."""
        return self._transport is not None and not self._ending

    @property
    def silent(self) -> bool:
        """Whether nothing was heard of the other end for a moment."""
        return self._unheard >= SUSPECT_TICKS

    def take(self, kind: int, number: int, payload: bytes) -> None:
        """Takes a frame. Raises `ProtocolError`, ValueError or struct.error for what no peer of ours sends."""
        raise NotImplementedError

    def send(self, data: bytes) -> None:
        """Sends a frame, or a piece of one, at the end of this turn."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)

    def tick(self) -> None:
        """Counts the time that nothing was heard; ends the connection when it has been silent for long."""
        self._unheard += 1
        if self._unheard > DEAD_TICKS:
            self.abort("nothing was heard of it")

    def abort(self, why: str) -> None:
        """Ends the connection at once."""
        if self._transport is not None:
            if not self._ending:
                _log.warning("the connection with %s is given up: %s", self.name, why)
            self._ending = True
            self._transport.abort()

    def close(self) -> None:
        """Ends the connection, after what was sent."""
        self._flush()
        self._ending = True
        if self._transport is not None:
            self._transport.close()

    # -- the transport's side ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.writable.set()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        self._unheard = 0
        if self._ending:
            return
        try:
            for kind, number, payload in self._reader.feed(data):
                self.take(kind, number, payload)
        except (ProtocolError, ValueError, struct.error) as error:
            self.abort(f"it does not keep to the protocol ({error})")

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None and out and not self._ending:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
