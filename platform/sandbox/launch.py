"""How each runtime's workers are started and specialised; for Node, from a small stock of blank processes.

A blank Node process has the flags of one memory size, because V8 takes its heap limit only at its start. Blanks are
kept for the sizes in use lately, `BLANKS` each, and made anew behind the request that took one. A Python worker is a
fork of the zygote, which costs less than keeping one.
"""

import asyncio
import contextlib
import itertools
import logging
import shutil
from collections import OrderedDict
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

from cloudserve.core.confine.bounds import Bounds
from cloudserve.sandbox.abc import Deployment
from cloudserve.sandbox.ends import WorkerLost
from cloudserve.sandbox.worker import Worker
from cloudserve.sandbox.zygote import Zygote, real_interpreter

BLANKS: Final = 2
BLANK_SIZES: Final = 3
DEFAULT_MEMORY_MB: Final = 128

_log = logging.getLogger(__name__)

_NODE_MAIN: Final = Path(__file__).parent / "runtimes" / "node" / "main.cjs"
_NODE_DATA_SLACK_MIB: Final = 256
"""What Node maps beside its heap: code space, semi-spaces, stacks of its threads."""


class Launcher:
    """Starts blank workers, and ends whatever is left of them. `start` first, `close` last."""

    def __init__(self, *, folder: Path, python: Path | None, node: Path | None, bounds: Bounds) -> None:
        self._folder = folder
        self._bounds = bounds
        self._python = python or real_interpreter()
        self._node = node or _find_node()
        self._zygote: Zygote | None = None
        self._starting = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._blanks: OrderedDict[int, list[Worker]] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stocking: set[int] = set()
        self._living: set[Worker] = set()
        self._removals: set[asyncio.Future[None]] = set()
        self._closed = False

    async def start(self) -> None:
        """Makes the workers' folder anew, starts the zygote, and stocks blank processes."""
        await asyncio.to_thread(_make_empty, self._folder)
        await self._living_zygote()
        if self._node is not None:
            self._blanks[DEFAULT_MEMORY_MB] = []
            self._refill(DEFAULT_MEMORY_MB)

    async def close(self) -> None:
        """Ends the zygote and with it every worker."""
        self._closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        workers = list(self._living)
        for worker in workers:
            worker.stop()
        await asyncio.gather(*(worker.ended for worker in workers))
        await asyncio.gather(*self._removals)
        if self._zygote is not None:
            await self._zygote.close()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def blank(self, deployment: Deployment) -> Worker:
        """Returns a worker that waits for its specialisation. Raises `WorkerLost`."""
        memory_mb = deployment.limits.memory_mb
        if deployment.runtime == "python":
            return await self._start_worker(memory_mb, None)
        stock = self._blanks.setdefault(memory_mb, [])
        self._blanks.move_to_end(memory_mb)
        self._forget_old_sizes()
        worker = None
        while stock and (worker is None or worker.stopping):
            worker = stock.pop()
        if worker is None or worker.stopping:
            worker = await self._start_worker(memory_mb, self._node_command(memory_mb))
        self._refill(memory_mb)
        worker.limit_data((memory_mb + _NODE_DATA_SLACK_MIB) * 1024 * 1024)
        return worker

    def specification(self, deployment: Deployment, worker: Worker) -> dict[str, Any]:
        """Returns what a blank worker is told to become."""
        code, layer = str(deployment.code), deployment.layer and str(deployment.layer)
        if deployment.runtime == "node":
            code = _lay_out(worker.folder, deployment)
        return {
            "code": code,
            "entry": deployment.entry,
            "handler": deployment.handler,
            "layer": layer,
            "environment": dict(deployment.environment),
            "functionName": deployment.function_name or deployment.function_id,
            "version": deployment.number,
            "memoryMb": deployment.limits.memory_mb,
            "timeoutSeconds": deployment.limits.timeout_seconds,
            "concurrency": deployment.limits.concurrency,
            "logBytes": self._bounds.log_bytes,
        }

    async def _start_worker(self, memory_mb: int, argv: list[str] | None) -> Worker:
        zygote = await self._living_zygote()
        worker = Worker(
            zygote=zygote, folder=self._folder / str(next(self._numbers)), memory_mb=memory_mb, bounds=self._bounds
        )
        await worker.start(argv)
        self._living.add(worker)
        worker.ended.add_done_callback(lambda _: self._forget(worker))
        return worker

    def _forget(self, worker: Worker) -> None:
        self._living.discard(worker)
        if worker.removal is not None:
            self._removals.add(worker.removal)
            worker.removal.add_done_callback(self._removals.discard)

    async def _living_zygote(self) -> Zygote:
        async with self._starting:
            if self._zygote is None:
                zygote = Zygote(self._python, self._lost)
                await zygote.start()
                self._zygote = zygote
            return self._zygote

    def _lost(self) -> None:
        zygote, self._zygote = self._zygote, None
        if zygote is not None:
            self._run(zygote.close())

    def _node_command(self, memory_mb: int) -> list[str]:
        heap = max(32, memory_mb * 3 // 4)
        return [
            str(self._node),
            f"--max-old-space-size={heap}",
            "--preserve-symlinks",
            "--no-deprecation",
            str(_NODE_MAIN),
        ]

    def _refill(self, memory_mb: int) -> None:
        if self._node is not None and not self._closed and memory_mb not in self._stocking:
            self._stocking.add(memory_mb)
            self._run(self._stock(memory_mb))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stock(self, memory_mb: int) -> None:
        """Makes blanks of one size until there are enough, or the size is no longer wanted."""
        stock = self._blanks.setdefault(memory_mb, [])
        try:
            while len(stock) < BLANKS and self._blanks.get(memory_mb) is stock:
                worker = await self._start_worker(memory_mb, self._node_command(memory_mb))
                await worker.calls.hello
                if self._blanks.get(memory_mb) is stock:
                    stock.append(worker)
                else:
                    worker.stop()
        except WorkerLost as lost:
            _log.warning("no blank Node process could be made ready: %s", lost)
        finally:
            self._stocking.discard(memory_mb)

    def _forget_old_sizes(self) -> None:
        while len(self._blanks) > BLANK_SIZES:
            _, unused = self._blanks.popitem(last=False)
            for worker in unused:
                worker.stop()


def _find_node() -> Path | None:
    found = shutil.which("node")
    return Path(found).resolve() if found else None


def _make_empty(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700, parents=True)


def _lay_out(folder: Path, deployment: Deployment) -> str:
    """Puts code and dependencies side by side, where Node's own look-up finds them, and returns the code's place."""
    code = folder / "fn"
    code.symlink_to(deployment.code, target_is_directory=True)
    if deployment.layer is not None:
        (folder / "node_modules").symlink_to(deployment.layer / "node_modules", target_is_directory=True)
    return str(code)
