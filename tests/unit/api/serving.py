"""A real control plane on a real port, for tests that call it from outside its event loop."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from tests.unit.api.support import Platform, running


class _Server(uvicorn.Server):
    """uvicorn's server, which tells when it listens."""

    def __init__(self, config: uvicorn.Config, ready: threading.Event) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to listen."""
        await super().startup(sockets)
        self._ready.set()


class Served:
    """A control plane on a port of loopback, in a thread with a loop of its own."""

    url: str
    platform: Platform

    def __init__(self, folder: Path, prepare: Callable[[Platform], Awaitable[None]] | None) -> None:
        self._folder = folder
        self._prepare = prepare
        self._ready = threading.Event()
        self._server: _Server
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def start(self) -> None:
        """Returns when it answers."""
        self._thread.start()
        assert self._ready.wait(30)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        """Returns when nothing of it is left."""
        self._server.should_exit = True
        self._thread.join()

    async def _serve(self) -> None:
        async with running(self._folder) as self.platform:
            if self._prepare is not None:
                await self._prepare(self.platform)
            config = uvicorn.Config(
                self.platform.app, port=0, log_config=None, access_log=False, lifespan="off", ws="none"
            )
            self._server = _Server(config, self._ready)
            await self._server.serve()


@contextmanager
def serving(folder: Path, prepare: Callable[[Platform], Awaitable[None]] | None = None) -> Iterator[Served]:
    """Yields a control plane whose data is in `folder`; `prepare` is awaited before it listens."""
    served = Served(folder, prepare)
    served.start()
    try:
        yield served
    finally:
        served.stop()
