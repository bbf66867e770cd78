"""A network between a service and a server, on loopback, which a test may cut, stall and slow down."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine
from typing import Any, Final, Self

_CHUNK: Final = 64 * 1024
_HOST: Final = "127.0.0.1"


class Proxy:
    """Carries bytes between clients of `port` and the server on `target`, whether that runs just now or not.

    It is a context manager, and works in a thread of its own. Its port stays its own while it refuses connections.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._held = _bound(0)
        self.port: int = self._held.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{self.port}")
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._delay = 0.0
        self._connections: set[_Connection] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._flowing.set()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._cut())
        self._run(asyncio.sleep(0))  # for what the ended connections have left to do
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._held.close()

    def cut(self) -> None:
        """Breaks every connection, and refuses new ones."""
        self._run(self._cut())

    def stall(self) -> None:
        """Takes connections and what they send, and carries nothing, as a network does that loses every packet."""
        self._run(self._set(flowing=False, delay=0.0))

    def slow_down(self, seconds: float) -> None:
        """Has each answer take so much longer."""
        self._run(self._set(flowing=True, delay=seconds))

    def restore(self) -> None:
        """Makes all well again; what was stalled arrives."""
        self._run(self._restore())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        if self._server is None:
            listener = _bound(self.port)
            listener.listen(1024)
            self._server = await asyncio.start_server(self._connected, sock=listener)

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        ending = [connection.task for connection in self._connections]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    async def _set(self, *, flowing: bool, delay: float) -> None:
        self._delay = delay
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _restore(self) -> None:
        await self._set(flowing=True, delay=0.0)
        await self._listen()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection = _Connection(task)
        self._connections.add(connection)
        try:
            await self._flowing.wait()
            with contextlib.suppress(OSError):  # the server is down: so is the connection
                their_reader, their_writer = await asyncio.open_connection(_HOST, self._target)
                try:
                    await self._carry(connection, (reader, writer), (their_reader, their_writer))
                finally:
                    their_writer.transport.abort()
        except asyncio.CancelledError:
            pass  # it was cut
        finally:
            writer.transport.abort()
            self._connections.discard(connection)

    async def _carry(self, connection: "_Connection", client: "_Streams", server: "_Streams") -> None:
        asking = asyncio.create_task(self._forward(connection, client[0], server[1], answers=False))
        answering = asyncio.create_task(self._forward(connection, server[0], client[1], answers=True))
        try:
            await asyncio.gather(asking, answering)
        finally:
            asking.cancel()
            answering.cancel()

    async def _forward(
        self, connection: "_Connection", source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        while chunk := await source.read(_CHUNK):
            if not answers:
                connection.asked = True
            elif connection.asked:
                connection.asked = False
                await asyncio.sleep(self._delay)
            await self._flowing.wait()
            sink.write(chunk)
            await sink.drain()
        sink.write_eof()


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Connection:
    """A client's connection; `asked` since the last answer."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self.task = task
        self.asked = False


def _bound(port: int) -> socket.socket:
    """Returns a socket that has the port without listening on it: whoever connects is refused (tcp(7))."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((_HOST, port))
    return bound
