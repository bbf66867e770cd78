"""How each runtime's workers are started and specialised, from a small stock of blank ones where that is possible.

A blank is a process that is walled off already and waits to be told what it will be; at tiers A and B its code is
mounted then. At tier C a worker's walls must know at the start what it may read, so only a Node worker whose function
is one bundle can have been a blank: the bundle is copied into the worker's own folder.

A blank Node process has the flags of one memory size, because V8 takes its heap limit only at its start. Blanks are
kept for the sizes in use lately, `BLANKS` each. A Python worker without walls is a mere fork of the zygote, which costs
less than keeping one.
"""

import asyncio
import contextlib
import itertools
import shutil
from collections import OrderedDict
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from cloudserve.core.confine.bounds import Bounds
from cloudserve.core.confine.egress.resolvers import WORKER_OPTIONS
from cloudserve.core.confine.tiers import Protection
from cloudserve.sandbox import layout
from cloudserve.sandbox.abc import Deployment
from cloudserve.sandbox.guard import NODE_RUNTIME, Guard
from cloudserve.sandbox.runtimes.python.child import NODE_RUNTIME as NODE_RUNTIME_IN_ROOT
from cloudserve.sandbox.stock import Stock
from cloudserve.sandbox.watch.groups import Groups
from cloudserve.sandbox.worker import Worker
from cloudserve.sandbox.zygote import real_interpreter

BLANKS: Final = 2
BLANK_SIZES: Final = 3
DEFAULT_MEMORY_MB: Final = 128

_MOST_SEMI_SPACE_MIB: Final = 16
"""What V8 takes by itself; with it a worker of little memory would be ended before its heap is full."""

_NODE_DATA_SLACK_MIB: Final = 256
"""What Node maps beside its heap: code space, semi-spaces, stacks of its threads."""


class Launcher:
    """Starts blank workers, and ends whatever is left of them. `start` first, `close` last."""

    def __init__(
        self,
        *,
        folder: Path,
        python: Path | None,
        node: Path | None,
        protection: Protection,
        bounds: Bounds,
        egress_allow: Sequence[str],
    ) -> None:
        self._folder = folder
        self._python = python or real_interpreter()
        self._node = node or _find_node()
        self._protection = protection
        self._bounds = bounds
        self._groups = Groups(bounds)
        self._egress_allow = egress_allow
        self._own_environment: dict[str, str] = {}
        if protection.tier == "C":  # where there is no resolv.conf of its own to say so
            self._own_environment["RES_OPTIONS"] = WORKER_OPTIONS
        self._guard: Guard | None = None
        self._starting = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._python_blanks = Stock(self._new_python, BLANKS, self._run)
        self._node_blanks: OrderedDict[int, Stock] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._living: set[Worker] = set()
        self._removals: set[asyncio.Future[None]] = set()
        self._closed = False

    async def start(self) -> None:
        """Makes the workers' folder anew, starts the guard, and stocks blank processes."""
        await asyncio.to_thread(_make_empty, self._folder)
        await self._groups.start()
        await self._living_guard()
        if layout.has_own_root(self._protection.tier):
            self._python_blanks.fill()
        if self._node is not None:
            self._blanks_of_node(DEFAULT_MEMORY_MB).fill()

    async def close(self) -> None:
        """Ends the guard and with it every worker."""
        self._closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        workers = list(self._living)
        for worker in workers:
            worker.stop()
        await asyncio.gather(*(worker.ended for worker in workers))
        await asyncio.gather(*self._removals)
        if self._guard is not None:
            await self._guard.close()
        await self._groups.close()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def blank(self, deployment: Deployment) -> Worker:
        """Returns a worker that waits for its specialisation. Raises `WorkerLost`."""
        tier, memory_mb = self._protection.tier, deployment.limits.memory_mb
        read = layout.paths(deployment) if layout.needs_paths(tier, deployment) else []
        worker = None
        if deployment.runtime == "python":
            if layout.has_own_root(tier):
                worker = self._python_blanks.take()
            if worker is None:
                worker = await self._new_python(read)
        else:
            if not read:
                worker = self._blanks_of_node(memory_mb).take()
            if worker is None:
                worker = await self._new_node(memory_mb, read)
        worker.calls.memory_mb = memory_mb
        if worker.group is not None:
            self._groups.bound(worker.group, memory_mb)
        return worker

    async def admit(self, deployment: Deployment, worker: Worker) -> dict[str, Any]:
        """Gives a blank worker its code and its way out, and returns what it is told to become. Raises `WorkerLost`."""
        places = await layout.lay_out(self._protection.tier, deployment, worker.folder)
        await worker.admit(places.trees, deployment.egress)
        return {
            "code": places.code,
            "entry": deployment.entry,
            "handler": deployment.handler,
            "layer": places.layer,
            "environment": {**self._own_environment, **deployment.environment},
            "functionName": deployment.function_name or deployment.function_id,
            "version": deployment.number,
            "memoryMb": deployment.limits.memory_mb,
            "timeoutSeconds": deployment.limits.timeout_seconds,
            "concurrency": deployment.limits.concurrency,
            "logBytes": self._bounds.log_bytes,
        }

    async def _new_python(self, read: Sequence[str] = ()) -> Worker:
        return await self._start_worker(None, read, None)

    async def _new_node(self, memory_mb: int, read: Sequence[str] = ()) -> Worker:
        heap = max(32, memory_mb * 3 // 4)
        runtime = NODE_RUNTIME_IN_ROOT if layout.has_own_root(self._protection.tier) else str(NODE_RUNTIME)
        young = min(_MOST_SEMI_SPACE_MIB, max(1, memory_mb // 16))  # of which there are three beside the heap
        flags = [
            f"--max-old-space-size={heap}",
            f"--max-semi-space-size={young}",
            "--preserve-symlinks",
            "--no-deprecation",
        ]
        data_bytes = (memory_mb + _NODE_DATA_SLACK_MIB) * 1024 * 1024
        return await self._start_worker([str(self._node), *flags, f"{runtime}/main.cjs"], read, data_bytes)

    async def _start_worker(self, argv: list[str] | None, read: Sequence[str], data_bytes: int | None) -> Worker:
        guard = await self._living_guard()
        own_root = layout.has_own_root(self._protection.tier)
        folder = None if own_root else self._folder / str(next(self._numbers))
        worker = Worker(guard=guard, folder=folder, bounds=self._bounds, group=self._groups.take())
        worker.ended.add_done_callback(lambda _: self._forget(worker))
        await worker.start(argv, read=read, data_bytes=data_bytes)
        if not worker.ended.done():
            self._living.add(worker)
        return worker

    def _forget(self, worker: Worker) -> None:
        self._living.discard(worker)
        if worker.group is not None:
            self._groups.give_back(worker.group)
        if worker.removal is not None:
            self._removals.add(worker.removal)
            worker.removal.add_done_callback(self._removals.discard)

    async def _living_guard(self) -> Guard:
        async with self._starting:
            if self._guard is None:
                guard = Guard(
                    python=self._python,
                    node=self._node,
                    protection=self._protection,
                    bounds=self._bounds,
                    egress_allow=self._egress_allow,
                    on_lost=self._lost,
                )
                await guard.start()
                self._guard = guard
            return self._guard

    def _lost(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            self._run(guard.close())

    def _blanks_of_node(self, memory_mb: int) -> Stock:
        """Returns the stock of a size, which is in use now; one that was in use the longest time ago may go for it."""
        stock = self._node_blanks.get(memory_mb)
        if stock is None:
            stock = self._node_blanks[memory_mb] = Stock(lambda: self._new_node(memory_mb), BLANKS, self._run)
        self._node_blanks.move_to_end(memory_mb)
        while len(self._node_blanks) > BLANK_SIZES:
            _, unused = self._node_blanks.popitem(last=False)
            unused.give_up()
        return stock

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        if self._closed:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _find_node() -> Path | None:
    found = shutil.which("node")
    return Path(found).resolve() if found else None


def _make_empty(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700, parents=True)
