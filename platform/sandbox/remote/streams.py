"""Bodies in parts over a shared connection, each with credit of its own: whoever is slow stalls nobody else."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from cloudserve.sandbox.protocol import PART_BYTES, U32, WINDOW_BYTES, ProtocolError
from cloudserve.sandbox.remote.link import Link
from cloudserve.sandbox.remote.wire import CREDIT, PART, frame


class Outflow:
    """The parts of a body on their way out, for as long as there is credit."""

    def __init__(self, link: Link, number: int, room: int = 0) -> None:
        self._link = link
        self._number = number
        self._room = room
        self._more = asyncio.Event()

    def credit(self, payload: bytes) -> None:
        """Takes a CREDIT frame."""
        self._room += U32.unpack(payload)[0]
        self._more.set()

    async def send(self, data: bytes) -> None:
        """Sends a piece of the body, at the pace of whoever reads it."""
        view = memoryview(data)
        for at in range(0, len(view), PART_BYTES):
            part = view[at : at + PART_BYTES]
            while self._room < len(part):
                self._more.clear()
                await self._more.wait()
            self._room -= len(part)
            await self._link.writable.wait()
            self._link.send(frame(PART, self._number, part))


class Inflow(AsyncIterator[bytes]):
    """The parts of a body on their way in: gives credit as they are taken, and never holds more than that.

    Raises ConnectionResetError from the iteration when the body breaks off.
    """

    def __init__(self, link: Link, number: int) -> None:
        self._link = link
        self._number = number
        self._parts: deque[bytes] = deque()
        self._credit = 0
        self._ended = False
        self._broken: str | None = None
        self._waiter: asyncio.Future[None] | None = None

    def open(self) -> None:
        """Lets the parts come."""
        self._grant(WINDOW_BYTES)

    def take(self, part: bytes) -> None:
        """Takes a PART frame. Raises `ProtocolError` for more than there is credit for."""
        self._credit -= len(part)
        if self._credit < 0:
            raise ProtocolError("More parts than there is credit for.")
        self._parts.append(part)
        self._wake()

    def end(self, broken: str | None = None) -> None:
        """Says that nothing comes after what has come; with a reason, that the body broke off."""
        self._ended = True
        self._broken = broken
        self._wake()

    async def __anext__(self) -> bytes:
        while not self._parts:
            if self._broken is not None:
                raise ConnectionResetError(self._broken)
            if self._ended:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        part = self._parts.popleft()
        if not self._ended:
            self._grant(len(part))
        return part

    def _grant(self, size: int) -> None:
        self._credit += size
        self._link.send(frame(CREDIT, self._number, U32.pack(size)))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
