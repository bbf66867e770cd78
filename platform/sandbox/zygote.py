"""The host's side of the zygote (`runtimes/python/zygote`): starts workers, ends them, learns how they ended."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cloudserve.sandbox.channel import Channel

OnEnded = Callable[[int, int], None]
"""Takes the exit code, or minus the signal, and the most memory that it held, in KiB."""


def real_interpreter() -> Path:
    """Returns the interpreter itself, not a virtual environment's link and not a version manager's shim."""
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


class Zygote:
    """A zygote process at the other end of a channel, which it opens. All methods belong to one event loop.

    `on_lost` is called when the process has ended.
    """

    def __init__(self, on_lost: Callable[[], None]) -> None:
        self._on_ended: dict[int, OnEnded] = {}
        self._on_spawned: dict[int, asyncio.Future[int]] = {}
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.channel = Channel(self._take, on_lost)

    async def ready(self) -> None:
        """Waits until it can fork. Raises ConnectionResetError when it ends instead."""
        await self._ready

    async def spawn(
        self,
        worker_id: int,
        *,
        sock: int,
        output: int,
        cwd: str,
        argv: list[str] | None,
        read: Sequence[str],
        data_bytes: int | None,
        groups: Sequence[int],
        on_ended: OnEnded,
    ) -> int:
        """Starts a worker and returns its pid as the zygote sees it. Raises OSError.

        The descriptors stay the caller's to close: the worker's socket, where its output goes, and the cgroup.procs
        files of the groups that it enters. `read` are the paths that it may read where it has no root of its own,
        `data_bytes` is its RLIMIT_DATA, for a program that can't set it itself.
        """
        self.channel.send(
            {"spawn": worker_id, "cwd": cwd, "argv": argv, "read": list(read), "data": data_bytes},
            sock,
            output,
            *groups,
        )
        self._on_ended[worker_id] = on_ended
        spawned: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._on_spawned[worker_id] = spawned
        return await spawned

    def kill(self, worker_id: int) -> None:
        """Ends a worker at once; nothing happens to one that has ended."""
        if worker_id in self._on_ended and self.channel.is_open:
            self.channel.send({"kill": worker_id})

    def forget_workers(self) -> None:
        """Tells everybody that waits for a worker's start or end that all have ended with their zygote."""
        if not self._ready.done():
            self._ready.set_exception(_ended())
            self._ready.exception()  # also where nobody waits for it
        for spawned in self._on_spawned.values():
            if not spawned.done():
                spawned.set_exception(_ended())
        self._on_spawned.clear()
        ended, self._on_ended = self._on_ended, {}
        for callback in ended.values():
            callback(-9, 0)

    def _take(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            if not self._ready.done():
                self._ready.set_result(None)
        elif "spawned" in message:
            future = self._on_spawned.pop(message["spawned"])
            if not future.done():
                future.set_result(message["pid"])
        elif "unborn" in message:
            del self._on_ended[message["unborn"]]
            future = self._on_spawned.pop(message["unborn"])
            if not future.done():
                future.set_exception(OSError(message["error"]))
        else:
            self._on_ended.pop(message["ended"])(message["status"], message["peak"])


def _ended() -> ConnectionResetError:
    return ConnectionResetError("the zygote has ended")
