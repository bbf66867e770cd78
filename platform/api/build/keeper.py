"""Keeps the process that jailers are forked from, and has it fork one for each run of a tool."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from typing import Any, Final

from cloudserve.api.build.tools import PYTHON, read_output
from cloudserve.core import isolated

_BOOT: Final = "cloudserve.api.build.jailer.boot"
_GIVE_UP_SECONDS: Final = 5.0
"""How long a jailer may take to kill what it has started; then it is killed itself."""
_CHUNK_BYTES: Final = 64 * 1024
_MOST_REPORTS: Final = 1000


class Keeper:
    """Has tools run. `start` saves the first run some time; `close` at the end. A process that has died is replaced."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Starts the process, unless it runs."""
        async with self._starting:
            if self._process is None or self._process.poll() is not None:
                await self._end()
                await asyncio.to_thread(self._start)

    async def close(self) -> None:
        """Ends the process."""
        async with self._starting:
            await self._end()

    async def run(
        self, order: dict[str, Any], on_line: Callable[[str], None] | None
    ) -> tuple[str, list[dict[str, Any]]]:
        """Gives a jailer an order; returns what the tool printed and what the jailer told, when both have ended.

        A caller that is cancelled returns when all that the tool had started is dead.
        """
        loop = asyncio.get_running_loop()
        reports: list[dict[str, Any]] = []
        with contextlib.ExitStack() as ours:
            link, theirs = socket.socketpair()
            ours.enter_context(link)
            link.setblocking(False)
            read_end, write_end = os.pipe()
            stream = asyncio.StreamReader()
            with theirs, os.fdopen(write_end, "wb", buffering=0):
                # The transport closes its end, and nobody else may: libuv ends the process over one that has gone.
                output = os.fdopen(read_end, "rb", buffering=0)
                transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), output)
                ours.callback(transport.close)
                await self._fork(theirs.fileno(), write_end)
            telling = asyncio.create_task(_listen(link, reports))
            try:
                await loop.sock_sendall(link, json.dumps(order).encode() + b"\n")
                text = await read_output(stream, on_line)
                await telling
            finally:
                await _end_run(link, telling, reports)
        return text, reports

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                isolated.command(PYTHON, _BOOT),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
            )
        self._control = ours

    async def _fork(self, link: int, output: int) -> None:
        """Hands a jailer its descriptors. Raises OSError when the process dies each time that it is started."""
        for last_try in (False, True):
            await self.start()
            assert self._control is not None  # noqa: S101 - it was started above
            try:
                socket.send_fds(self._control, [b"run"], [link, output])
            except OSError:  # it has died this very moment
                if last_try:
                    raise
                await self.close()
            else:
                return

    async def _end(self) -> None:
        process, control = self._process, self._control
        self._process = self._control = None
        if control is not None:
            control.close()
        if process is not None:
            await asyncio.to_thread(process.wait)


async def _listen(link: socket.socket, reports: list[dict[str, Any]]) -> None:
    loop = asyncio.get_running_loop()
    rest = b""
    while chunk := await loop.sock_recv(link, _CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(reports) < _MOST_REPORTS:
            reports += map(json.loads, lines)


async def _end_run(link: socket.socket, telling: asyncio.Task[None], reports: list[dict[str, Any]]) -> None:
    """Tells the jailer that nobody waits any more, and waits for it to have killed everything."""
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_WR)
    try:
        async with asyncio.timeout(_GIVE_UP_SECONDS):
            await telling
    except (TimeoutError, OSError):
        for report in reports[:1]:
            with contextlib.suppress(ProcessLookupError, KeyError):
                os.kill(report["jailer"], signal.SIGKILL)
