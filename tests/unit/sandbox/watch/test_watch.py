"""What the watch makes of what it sees; the contract's suite has it look at real workers."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cloudserve.core.confine.bounds import Bounds
from cloudserve.sandbox.failures import Failure
from cloudserve.sandbox.watch.gauge import Look
from cloudserve.sandbox.watch.tree import Tree
from cloudserve.sandbox.watch.watch import TICK_SECONDS, Duties, Watch
from cloudserve.sandbox.worker import Worker

MEBIBYTE_OF_KIB = 1024


@dataclass(eq=False)
class Watched:
    """A worker as the watch sees it, in a call since its start; what it uses is set by the test."""

    folder: Path
    kib: int = 0
    cpu_seconds: float = 0.0
    threads: int = 1
    busy: int = 1
    killed: Failure | None = None
    loaded: bool = True
    stopping: bool = False
    dead_for_memory: Failure | None = None
    courtesy: None = None
    pid: int = field(default_factory=os.getpid)
    calls: Any = field(
        default_factory=lambda: SimpleNamespace(memory_mb=128, peak_kib=0, oldest=1, begun=1, timeout=10.0)
    )

    def __post_init__(self) -> None:
        self.ended = asyncio.get_running_loop().create_future()

    def out_of_memory(self) -> Failure | None:
        return self.dead_for_memory

    def kill(self, cause: Failure) -> None:
        self.killed = cause
        self.stopping = True

    def idle(self) -> None:
        """Has no call any more."""
        self.busy = 0
        self.calls.oldest = 0


class Watching:
    """A watch whose ticks come when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.overdrawn: list[Any] = []
        self.sweeps = 0
        self._timers: list[Callable[[], None]] = []
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "call_later", self._call_later)
        self.watch = Watch(
            Bounds(processes=32, disk_mb=1, inodes=64),
            Duties(processes=True, folders=True),
            on_sweep=self._swept,
            on_overdrawn=lambda worker, _: self.overdrawn.append(worker),
        )
        self.worker = Watched(folder)
        monkeypatch.setattr(Tree, "memory_kib", lambda _: self.worker.kib)
        monkeypatch.setattr(Tree, "look", lambda _: Look(self.worker.cpu_seconds, self.worker.threads))
        self.watch.add(cast("Worker", self.worker))

    def tick(self, times: int = 1) -> Failure | None:
        """Lets time pass, and returns why the worker was ended."""
        for _ in range(times):
            self._timers.pop()()
        return self.worker.killed

    def _call_later(self, seconds: float, callback: Callable[[], None]) -> SimpleNamespace:
        assert seconds == TICK_SECONDS
        self._timers.append(callback)
        return SimpleNamespace(cancel=lambda: None)

    def _swept(self) -> None:
        self.sweeps += 1


@pytest.fixture
async def watching(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A watch with one worker."""
    made = Watching(monkeypatch, tmp_path)
    yield made
    made.watch.close()


async def test_a_call_may_use_what_one_core_gives_it_until_its_time_out(watching: Watching) -> None:
    """More takes several cores at once; what the worker used before the call does not count."""
    watching.worker.cpu_seconds = 50.0
    assert watching.tick(4) is None
    watching.worker.cpu_seconds = 59.9
    assert watching.tick(2) is None
    watching.worker.cpu_seconds = 60.1
    failure = watching.tick(2)
    assert failure is not None
    assert (failure.reason, failure.limit) == ("cpu", "10 s")
    assert failure.message == "Processor time used up: 10.1 s of 10 s."
    assert watching.watch.kills == 1
    assert not watching.overdrawn


async def test_calls_that_share_a_worker_each_bring_their_own_time(watching: Watching) -> None:
    """The time is counted from the oldest of them on."""
    watching.tick(4)
    watching.worker.calls.begun = 3
    watching.worker.cpu_seconds = 29.0
    assert watching.tick(2) is None
    watching.worker.cpu_seconds = 31.0
    assert watching.tick(2) is not None


async def test_a_new_call_begins_anew(watching: Watching) -> None:
    """What the last one used is not charged to it."""
    watching.tick(4)
    watching.worker.cpu_seconds = 9.0
    watching.tick(2)
    watching.worker.calls.oldest = watching.worker.calls.begun = 2
    watching.tick(4)
    watching.worker.cpu_seconds = 18.0
    assert watching.tick(2) is None


async def test_a_worker_that_is_busy_without_a_call_is_ended_and_told_of(watching: Watching) -> None:
    """A second of processor time at once is all it has."""
    watching.worker.idle()
    watching.tick(20)
    watching.worker.cpu_seconds = 0.9
    assert watching.tick(10) is None
    watching.worker.cpu_seconds = 1.9
    failure = watching.tick(10)
    assert failure is not None
    assert (failure.reason, failure.limit) == ("cpu", "1 s")
    assert watching.overdrawn == [watching.worker]


async def test_a_little_work_between_calls_is_nobodys_business(watching: Watching) -> None:
    """Keeping a connection alive takes a hundredth of a core, for as long as it likes."""
    watching.worker.idle()
    for _ in range(1000):
        watching.worker.cpu_seconds += 0.01
        assert watching.tick(10) is None


async def test_what_calls_use_is_not_held_against_an_idle_worker(watching: Watching) -> None:
    """Calls that came and went between two looks are seen by their number."""
    watching.worker.idle()
    for _ in range(20):
        watching.worker.cpu_seconds += 0.9
        watching.worker.calls.begun += 5
        assert watching.tick(10) is None


async def test_memory_counts_from_what_the_runtime_held(watching: Watching) -> None:
    """The peak is kept for the outcome."""
    watching.worker.kib = 128 * MEBIBYTE_OF_KIB
    assert watching.tick(2) is None
    assert watching.worker.calls.peak_kib == 128 * MEBIBYTE_OF_KIB
    watching.worker.kib += 4000
    failure = watching.tick(2)
    assert failure is not None
    assert failure.message == "Out of memory: peak 132 MB of 128 MB."


async def test_code_that_loads_is_watched_too(watching: Watching) -> None:
    """It is user code, though no call is in the worker yet."""
    watching.worker.idle()
    watching.worker.loaded = False
    watching.worker.kib = 200 * MEBIBYTE_OF_KIB
    failure = watching.tick(2)
    assert failure is not None
    assert failure.reason == "out-of-memory"
    assert not watching.overdrawn


async def test_a_worker_that_lost_a_process_to_the_kernel_is_ended(watching: Watching) -> None:
    """Version 1 of control groups ends one process of several; what is left of the worker is no use."""
    watching.worker.dead_for_memory = Failure("out-of-memory", "Out of memory: peak 9 MB of 8 MB.")
    assert watching.tick(10) == watching.worker.dead_for_memory


async def test_processes_and_threads_are_counted(watching: Watching) -> None:
    """Where nothing else bounds them."""
    watching.worker.threads = 33
    failure = watching.tick(2)
    assert failure is not None
    assert failure.message == "Too many processes and threads: 33 of 32."


@pytest.mark.parametrize(
    ("count", "size", "message"),
    [(10, 200_000, "The disk is full: 2 MB of 1 MB."), (70, 0, "Too many files: 65 of 64.")],
)
async def test_the_folder_is_looked_into(
    watching: Watching, tmp_path: Path, count: int, size: int, message: str
) -> None:
    """By the bytes and by the number of its files."""
    for number in range(count):
        (tmp_path / str(number)).write_bytes(b"x" * size)
    failure = watching.tick(2)
    assert failure is not None
    assert failure.message == message


async def test_sweeps_go_on_while_there_are_workers(watching: Watching) -> None:
    """Idle workers are ended at sweeps, so they come by themselves."""
    watching.tick(40)
    assert watching.sweeps == 4


@pytest.fixture(autouse=True)
def _time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick takes a tenth of a second, however fast the test is."""
    moment = [1000.0]

    def monotonic() -> float:
        moment[0] += TICK_SECONDS
        return moment[0]

    monkeypatch.setattr("cloudserve.sandbox.watch.watch.time", SimpleNamespace(monotonic=monotonic))
