"""Serves the platform's two origins on sockets inherited from the supervisor, and leaves them without failing a call.

Leaving: no more connections are taken (those that wait are for the next process, which shares the sockets), answers
carry `Connection: close` from then on, and a connection that is idle is only closed after `IDLE_SECONDS`, so that a
request its client has just sent is still answered.
"""

import argparse
import asyncio
import contextlib
import gc
import math
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn

from cloudserve.cli.supervision.child import REFUSING
from cloudserve.gateway.http import HttpProtocol

Application = Callable[..., Awaitable[None]]
"""An ASGI application."""

DRAIN_SECONDS: Final = 30.0
"""How long a call that is being served may go on."""

IDLE_SECONDS: Final = 2.0
"""How long a leaving process still waits for requests on connections it has."""

KEEP_ALIVE_SECONDS: Final = 65
"""Longer than common proxies keep an idle connection, so that they close it and not we, under a request."""


@dataclass(frozen=True, slots=True)
class Inherited:
    """What the supervisor hands over: the settings' file, the sockets, and the two pipes."""

    settings: Path
    platform: tuple[int, ...]
    run: tuple[int, ...]
    tell: int
    lifeline: int

    def refuse(self, why: str) -> None:
        """Tells the supervisor why this process will not serve. Nothing may be told after it."""
        os.write(self.tell, REFUSING + why.encode())

    @classmethod
    def parse(cls, arguments: Sequence[str] | None = None) -> "Inherited":
        """Reads the command line that `supervision.child` writes."""
        parser = argparse.ArgumentParser(prog="cloudserve.cli.platform")
        parser.add_argument("--settings", type=Path, required=True)
        parser.add_argument("--platform", type=int, action="append", default=[])
        parser.add_argument("--run", type=int, action="append", default=[])
        parser.add_argument("--tell", type=int, required=True)
        parser.add_argument("--lifeline", type=int, required=True)
        given = parser.parse_args(arguments)
        return cls(given.settings, tuple(given.platform), tuple(given.run), given.tell, given.lifeline)


def keep_descriptors() -> None:
    """Lets no process that this one starts inherit what it has inherited itself, such as the listening sockets.

    Python closes such descriptors in the processes it starts, but uvloop leaves that to their owner.
    """
    for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        with contextlib.suppress(OSError):  # the one that listed them is closed by now
            if descriptor > 2:  # the standard three are everybody's
                os.set_inheritable(descriptor, False)


def settle() -> None:
    """Spares what is in memory now, at the end of a start, from every collection of garbage to come."""
    gc.collect()
    gc.freeze()


async def serve(
    inherited: Inherited, *, platform: Application, run: Application, on_leaving: Callable[[], Awaitable[None]]
) -> None:
    """Serves both applications until SIGTERM, or until the supervisor is gone, and returns once all is answered.

    `on_leaving` is awaited when no more connections are taken, while calls are still being answered.
    """
    leave = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, leave.set)
    loop.add_signal_handler(signal.SIGINT, leave.set)
    loop.add_reader(inherited.lifeline, leave.set)  # it is only ever readable at its end
    async with serving([Origin(platform, _sockets(inherited.platform)), Origin(run, _sockets(inherited.run))]) as them:
        os.write(inherited.tell, b"ready\n")
        await leave.wait()
        loop.remove_reader(inherited.lifeline)
        them.stop_listening()
        with contextlib.suppress(BrokenPipeError):
            os.write(inherited.tell, b"leaving\n")
        await on_leaving()


@contextlib.asynccontextmanager
async def serving(origins: "Sequence[Origin]") -> "AsyncIterator[Origins]":
    """Serves origins from its beginning, when all of them take connections, to its end, when all is answered."""
    tasks = [asyncio.create_task(origin.serve()) for origin in origins]
    for origin, task in zip(origins, tasks, strict=True):
        await origin.ready(task)
    try:
        yield Origins(origins)
    finally:
        await asyncio.gather(*(origin.drain() for origin in origins))
        await asyncio.gather(*tasks)


@dataclass(frozen=True, slots=True)
class Origins:
    """Origins that are being served."""

    them: "Sequence[Origin]"

    def stop_listening(self) -> None:
        """Takes no more connections; those that are there are told to close after their next answer."""
        for origin in self.them:
            origin.stop_listening()


class Origin:
    """One application on its sockets. `drain_seconds` is how long a call that is being served may go on at the end."""

    def __init__(
        self, application: Application, sockets: Sequence[socket.socket], *, drain_seconds: float = DRAIN_SECONDS
    ) -> None:
        self._sockets = list(sockets)
        self._config = uvicorn.Config(
            application,
            http=HttpProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=math.ceil(drain_seconds),
        )
        self._server = _Server(self._config)

    async def serve(self) -> None:
        """Serves until `drain`."""
        await self._server.serve(sockets=self._sockets)

    async def ready(self, serving: "asyncio.Task[None]") -> None:
        """Returns when connections are taken; raises what kept it from that."""
        while not self._server.started:
            if serving.done():
                serving.result()
            await asyncio.sleep(0.001)

    def stop_listening(self) -> None:
        """Takes no more connections."""
        for listener in self._server.servers:
            listener.close()
        self._config.encoded_headers.append((b"connection", b"close"))
        self._server.server_state.default_headers.append((b"connection", b"close"))

    async def drain(self) -> None:
        """Waits until the clients have let go of their connections, or `IDLE_SECONDS`; then lets uvicorn finish."""
        until = asyncio.get_running_loop().time() + IDLE_SECONDS
        while self._server.server_state.connections:
            if asyncio.get_running_loop().time() > until:
                break
            await asyncio.sleep(0.02)
        self._server.should_exit = True


class _Server(uvicorn.Server):
    """uvicorn's server without its own handling of signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none: `serve` has."""
        yield


def _sockets(descriptors: Sequence[int]) -> list[socket.socket]:
    return [socket.socket(fileno=descriptor) for descriptor in descriptors]
