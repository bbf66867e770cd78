"""The sandbox in this process: workers of every version under one cap, on this host."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from cloudserve.core.confine.bounds import Bounds
from cloudserve.core.confine.tiers import Protection
from cloudserve.sandbox import evict
from cloudserve.sandbox.abc import Call, ColdStart, Deployment, LogEntry, OnEnd, Outcome, Sandbox, SandboxStats
from cloudserve.sandbox.code_cache import CodeCaches
from cloudserve.sandbox.ends import WorkerLost
from cloudserve.sandbox.failures import Failure, error_of
from cloudserve.sandbox.flight import Flight
from cloudserve.sandbox.group import Group
from cloudserve.sandbox.launch import Launcher
from cloudserve.sandbox.processors import Processors
from cloudserve.sandbox.watch.pressure import Pressure
from cloudserve.sandbox.watch.watch import Duties, Watch
from cloudserve.sandbox.worker import Worker

LOAD_SECONDS: Final = 30.0
"""How long a worker may take to load its code."""

USUAL_BOUNDS: Final = Bounds()
_SLOWEST_IMPORTS: Final = 5

_log = logging.getLogger(__name__)

_CLOSING: Final = Failure("shutdown", "The sandbox is closing.", retry_after=1)


class LocalSandbox(Sandbox):
    """Runs versions in processes of this host.

    Args:
        work_dir: a folder of its own, in which the workers' temporary folders are; emptied at the start.
        max_workers: workers of all versions at most.
        idle_seconds: how long a worker without calls lives.
        queue_seconds: the longest a call waits for a worker.
        max_response_bytes: the largest body of an answer.
        protection: how well workers are walled off, as it was detected on this host.
        bounds: what each worker may use beside time and memory.
        egress_allow: the addresses and networks that are not public and that functions may reach all the same.
        node: the Node.js program; found on PATH unless given.
        python: the interpreter; this one unless given.
    """

    def __init__(
        self,
        *,
        work_dir: Path,
        max_workers: int,
        idle_seconds: float,
        queue_seconds: float,
        max_response_bytes: int,
        protection: Protection,
        bounds: Bounds = USUAL_BOUNDS,
        egress_allow: Sequence[str] = (),
        node: Path | None = None,
        python: Path | None = None,
    ) -> None:
        self._max_workers = max_workers
        self._idle_seconds = idle_seconds
        self._queue_seconds = queue_seconds
        self._max_response_bytes = max_response_bytes
        self._bounds = bounds
        self._tier = protection.tier
        self._watch: Watch
        self._pressure: Pressure
        self._launcher = Launcher(
            folder=work_dir / "workers",
            python=python,
            node=node,
            protection=protection,
            bounds=bounds,
            egress_allow=egress_allow,
        )
        self._groups: dict[str, Group] = {}
        self._all_groups: set[Group] = set()
        self._members: set[Worker] = set()
        self._starved: dict[Group, None] = {}
        self._code_caches = CodeCaches()
        self._processors = Processors()
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = 0
        self._starts = 0
        self._kills = 0
        self._closing = False
        self._loop: asyncio.AbstractEventLoop

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._watch = Watch(
            self._bounds,
            Duties(processes=self._tier not in ("A", "B"), folders=self._tier not in ("A", "B")),
            on_sweep=self._end_idle,
            on_overdrawn=self._note,
        )
        await self._launcher.start()
        self._pressure = Pressure()

    def submit(self, deployment: Deployment, call: Call, on_end: OnEnd) -> Callable[[], None]:
        group = self._groups.get(deployment.version_id)
        if group is None or group.deployment is not deployment:
            group = self._group_of(deployment)
        flight = Flight(call, on_end)
        if self._closing:
            flight.fail(_CLOSING)
        else:
            group.submit(flight)
        return flight.give_up

    async def warm(self, deployment: Deployment) -> None:
        group = self._group_of(deployment)
        group.keep = max(group.keep, deployment.limits.min_warm)
        if not self._closing:
            try:
                await group.first_worker()
            except WorkerLost as lost:
                failure = lost.failure
                outcome = Outcome("error", 0, failure.memory_kib / 1024, error=failure.message, reason=failure.reason)
                raise error_of(failure, outcome) from lost
            self._grow(group)

    async def retire(self, function_id: str, *, keep_version: str | None = None) -> None:
        self._code_caches.retire(function_id, keep_version)
        for version_id, group in list(self._groups.items()):
            if group.deployment.function_id == function_id and version_id != keep_version:
                del self._groups[version_id]
                group.retire()
                self._forget(group)

    async def close(self, *, grace_seconds: float = 10) -> None:
        self._closing = True
        for group in list(self._all_groups):
            group.keep = 0
        ends_at = self._loop.time() + grace_seconds
        # Polled, as calls end in many places, and only here does anybody wait for the last of them
        while self._loop.time() < ends_at and any(group.under_way for group in self._all_groups):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for group in list(self._all_groups):
            group.fail_waiting(_CLOSING)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for worker in self._members:
            worker.kill(_CLOSING)
        await self._launcher.close()
        self._watch.close()

    def stats(self) -> SandboxStats:
        return SandboxStats(
            workers=len(self._members) + self._starting,
            busy=sum(1 for worker in self._members if worker.busy),
            waiting=sum(group.queued for group in self._all_groups),
            starts=self._starts,
            kills=self._kills + self._watch.kills,
        )

    def _group_of(self, deployment: Deployment) -> Group:
        group = self._groups.get(deployment.version_id)
        if group is not None and group.deployment == deployment:
            group.deployment = deployment
            return group
        if group is not None:  # the same version with another environment, such as a changed secret
            group.retire()
            self._forget(group)
        group = Group(deployment, self._queue_seconds, self._grow, self._feed_starved, self._processors)
        self._groups[deployment.version_id] = group
        self._all_groups.add(group)
        return group

    def _forget(self, group: Group) -> None:
        """Lets go of a group that holds nothing, so that functions nobody calls cost nothing."""
        if not group.is_idle:
            return
        self._all_groups.discard(group)
        if self._groups.get(group.deployment.version_id) is group:
            del self._groups[group.deployment.version_id]

    # -- growing -------------------------------------------------------------------------------------------------

    def _grow(self, group: Group) -> None:
        """Starts the workers that a version needs now, as far as the host has room."""
        if self._closing:
            return
        for _ in range(group.wanted()):
            if len(self._members) + self._starting >= self._max_workers and not self._make_room(group):
                self._starved[group] = None
                return
            group.starting += 1
            self._starting += 1
            task = self._loop.create_task(self._add_worker(group))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _make_room(self, needy: Group) -> bool:
        worker = evict.least_recently_used(self._all_groups, needy)
        if worker is None:
            return False
        self._stop(worker)
        return True

    def _feed_starved(self) -> None:
        """Looks, when a worker became idle or ended, whether others wait for its place."""
        if self._starved:
            starved, self._starved = self._starved, {}
            for group in starved:
                self._grow(group)

    def _stop(self, worker: Worker) -> None:
        self._kills += 1
        self._members.discard(worker)
        worker.stop()

    async def _add_worker(self, group: Group) -> None:
        self._starts += 1
        deployment = group.deployment
        begin = time.perf_counter()
        worker: Worker | None = None
        code_cache = self._code_caches.of(deployment)
        try:
            worker = await self._launcher.blank(deployment)
            worker.concurrency = deployment.limits.concurrency
            worker.calls.timeout = deployment.limits.timeout_seconds
            worker.calls.max_response_bytes = self._max_response_bytes
            await worker.calls.hello
            spawned = time.perf_counter()
            if code_cache is not None:
                worker.calls.give_code(code_cache)
            specification = await self._launcher.admit(deployment, worker)
            admitted = time.perf_counter()
            self._watch.add(worker)
            report = await worker.specialise(specification, LOAD_SECONDS)
        except WorkerLost as lost:
            group.starting -= 1
            self._starting -= 1
            if code_cache is not None:
                self._code_caches.drop(deployment.version_id)
            group.did_not_start(lost)
            self._grow(group)
            self._forget(group)
            return
        except BaseException:
            group.starting -= 1
            self._starting -= 1
            if worker is not None:
                worker.stop()
            raise
        group.starting -= 1
        self._starting -= 1
        own_walls_ms = worker.walls_ms if worker.made > begin else 0.0
        worker.cold = _cold_start(
            spawn_ms=(spawned - begin) * 1000 - own_walls_ms,
            walls_ms=(admitted - spawned) * 1000 + own_walls_ms,
            report=report,
        )
        worker.compiled = report.get("code") == "compiled"
        if worker.compiled and code_cache is not None:  # V8 refused it
            self._code_caches.drop(deployment.version_id)
        self._members.add(worker)
        worker.on_gone = lambda gone: self._gone(group, gone)
        group.joined(worker)
        if worker.ended.done():
            self._gone(group, worker)

    def _gone(self, group: Group, worker: Worker) -> None:
        self._members.discard(worker)
        group.left(worker)
        self._grow(group)
        self._feed_starved()
        self._forget(group)

    # -- housekeeping --------------------------------------------------------------------------------------------

    def _end_idle(self) -> None:
        for group in list(self._all_groups):
            self._forget(group)
        for worker in list(evict.idle_too_long(self._all_groups, time.monotonic(), self._idle_seconds)):
            self._stop(worker)
        shortage_kib = self._pressure.shortage_kib()
        for worker in list(evict.to_give_back(self._all_groups, shortage_kib, self._watch.held_kib)):
            _log.info("worker %d is ended to give memory back: %d KiB are short", worker.pid, shortage_kib)
            self._stop(worker)
        self._code_caches.ask(self._all_groups)

    def _note(self, worker: Worker, failure: Failure) -> None:
        """Tells in the log why a worker was ended that had no call."""
        _log.info("worker %d: %s", worker.pid, failure.message)
        for group in self._all_groups:
            if worker in group.workers:
                group.note(LogEntry(time.time(), "warn", failure.message))


def _cold_start(*, spawn_ms: float, walls_ms: float, report: dict[str, Any]) -> ColdStart:
    """Returns the report of a start; what a worker says of itself is not taken on trust."""
    load_ms = report.get("loadMs")
    imports = report.get("imports")
    slowest: list[tuple[str, float]] = []
    for item in imports[:_SLOWEST_IMPORTS] if isinstance(imports, list) else ():
        match item:
            case [str(name), float() | int() as spent]:
                slowest.append((name[:200], float(spent)))
            case _:
                continue
    load_ms = float(load_ms) if isinstance(load_ms, float | int) else 0.0
    return ColdStart(spawn_ms, walls_ms, load_ms, slowest, cached=report.get("code") == "cached")
