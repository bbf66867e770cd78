"""The host's side of the zygote (`runtimes/python/zygote`): starts workers, ends them, learns how they ended.

The zygote runs the real interpreter, isolated (`-I -S`) and with an empty environment. When it dies, so do all its
workers; `Zygote.on_lost` says so, once.
"""

import array
import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson

_BOOT: Final = Path(__file__).parent / "runtimes" / "python" / "boot.py"
_MAX_MESSAGE: Final = 64 * 1024

OnEnded = Callable[[int, int], None]
"""Takes the exit code, or minus the signal."""


def real_interpreter() -> Path:
    """Returns the interpreter itself, not a virtual environment's link and not a version manager's shim."""
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


class Zygote:
    """One zygote process. All methods belong to the event loop that called `start`."""

    def __init__(self, python: Path, on_lost: Callable[[], None]) -> None:
        self._python = python
        self._on_lost = on_lost
        self._on_ended: dict[int, OnEnded] = {}
        self._on_spawned: dict[int, asyncio.Future[int]] = {}
        self._ready: asyncio.Future[None] | None = None
        self._last_id = 0
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Starts the process and waits until it can fork. Raises ConnectionResetError when it ends at once."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = await asyncio.to_thread(
                subprocess.Popen,
                [str(self._python), "-I", "-S", "-X", "utf8", str(_BOOT), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={},
                cwd="/",
                start_new_session=True,
            )
        ours.setblocking(False)
        self._control = ours
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        loop.add_reader(ours.fileno(), self._readable)
        await self._ready

    async def spawn(
        self, *, sock: int, output: int, cwd: Path, argv: list[str] | None, on_ended: OnEnded
    ) -> tuple[int, int]:
        """Starts a worker and returns its id and pid. The two descriptors stay the caller's to close."""
        self._last_id += 1
        worker_id = self._last_id
        self._send({"spawn": worker_id, "cwd": str(cwd), "argv": argv}, sock, output)
        self._on_ended[worker_id] = on_ended
        spawned = self._on_spawned[worker_id] = asyncio.get_running_loop().create_future()
        return worker_id, await spawned

    def kill(self, worker_id: int) -> None:
        """Ends a worker at once; nothing happens to one that has ended."""
        if worker_id in self._on_ended and self._control is not None:
            self._send({"kill": worker_id})

    def limit_data(self, worker_id: int, size: int) -> None:
        """Bounds the data segment of a worker, in bytes."""
        self._send({"limit": worker_id, "data": size})

    async def close(self) -> None:
        """Ends the process, and with it every worker."""
        self._disconnect()
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)
            self._process = None
        self._forget_workers()

    def _send(self, message: dict[str, Any], *descriptors: int) -> None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        if self._control is None:
            raise ConnectionResetError("the zygote has ended")
        # A full socket raises BlockingIOError; its buffer holds hundreds of messages, and the zygote only forks.
        self._control.sendmsg([orjson.dumps(message)], ancillary)

    def _readable(self) -> None:
        while self._control is not None:
            try:
                data = self._control.recv(_MAX_MESSAGE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._lost()
                return
            self._take(orjson.loads(data))

    def _take(self, message: dict[str, int]) -> None:
        if "ready" in message:
            if self._ready is not None and not self._ready.done():
                self._ready.set_result(None)
        elif "spawned" in message:
            future = self._on_spawned.pop(message["spawned"])
            if not future.done():
                future.set_result(message["pid"])
        else:
            self._on_ended.pop(message["ended"])(message["status"], message["peak"])

    def _lost(self) -> None:
        self._disconnect()
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(ConnectionResetError("the zygote has ended"))
        self._forget_workers()
        self._on_lost()

    def _forget_workers(self) -> None:
        """Tells everybody that waits for a worker's start or end that all have ended."""
        for spawned in self._on_spawned.values():
            if not spawned.done():
                spawned.set_exception(ConnectionResetError("the zygote has ended"))
        self._on_spawned.clear()
        ended, self._on_ended = self._on_ended, {}
        for callback in ended.values():
            callback(-9, 0)

    def _disconnect(self) -> None:
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            with contextlib.suppress(OSError):
                self._control.close()
            self._control = None
