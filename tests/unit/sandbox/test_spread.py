"""Over how many workers calls spread: few while they are short, all when they are long."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from cloudserve.core.models.function import Egress, Limits
from cloudserve.sandbox.abc import Call, Deployment
from cloudserve.sandbox.flight import Flight
from cloudserve.sandbox.group import Group
from cloudserve.sandbox.processors import Processors
from cloudserve.sandbox.spread import ENOUGH, PATIENCE_SECONDS, Spread
from cloudserve.sandbox.worker import Worker

MANY = 4 * ENOUGH


class Host(Processors):
    """Processors that have time left when the test says so."""

    def __init__(self, *, left: bool = False) -> None:
        super().__init__()
        self.left = left

    def have_left(self) -> bool:
        """Says what the test says."""
        return self.left


@dataclass
class Calls:
    """What a group asks of the calls of a worker."""

    last_begun: float = 0.0
    last_seconds: float = 0.0


@dataclass(eq=False)
class FakeWorker:
    """A worker for one call, which ends when the test says so."""

    calls: Calls = field(default_factory=Calls)
    flight: Flight | None = None
    listed_free: bool = False
    stopping: bool = False
    on_room: Callable[[Any], None] = lambda _: None

    @property
    def busy(self) -> int:
        """The calls in it."""
        return int(self.flight is not None)

    def has_room(self) -> bool:
        """Whether it has none."""
        return self.flight is None

    def begin(self, flight: Flight) -> None:
        """Takes a call, at a moment far in the future: no call is long by itself."""
        self.flight = flight
        self.calls.last_begun = float("inf")

    def end(self, seconds: float) -> None:
        """Ends its call."""
        self.flight = None
        self.calls.last_seconds = seconds
        self.on_room(self)


def deployment(**limits: int) -> Deployment:
    """Returns a version whose code nobody runs."""
    return Deployment(
        "ver", "fun", "own", 1, "python", Path("/"), "main.py", None, None, Limits(**limits), Egress(), environment={}
    )


def group_of(count: int, **limits: int) -> tuple[Group, list[FakeWorker]]:
    """Returns a group of so many idle workers, which starts no more."""
    group = Group(deployment(**limits), 10, lambda _: None, lambda: None, Host())
    workers = [FakeWorker() for _ in range(count)]
    for worker in workers:
        group.joined(cast("Worker", worker))
    return group, workers


def submit(group: Group, count: int) -> list[Flight]:
    """Submits calls."""
    flights = [Flight(Call("exe", "GET", "/", b"", (), b""), lambda _: None) for _ in range(count)]
    for flight in flights:
        group.submit(flight)
    return flights


def busy(workers: list[FakeWorker]) -> int:
    """Returns how many workers have a call."""
    return sum(worker.busy for worker in workers)


async def test_short_calls_keep_to_few_workers() -> None:
    """What comes on top waits, and is handed to the first worker that is through, in order."""
    group, workers = group_of(MANY)
    flights = submit(group, MANY)
    assert busy(workers) == ENOUGH
    assert group.queued == MANY - ENOUGH
    used = {worker for worker in workers if worker.flight}
    for number in range(ENOUGH, MANY):
        worker = next(iter(used))
        worker.end(0.0)
        assert worker.flight is flights[number]
    assert {worker for worker in workers if worker.flight} == used


async def test_long_calls_spread_over_all_workers() -> None:
    """A version none of whose calls was short gets a worker for each call at once."""
    group, workers = group_of(MANY)
    for _ in range(100):
        submit(group, 1)
        next(worker for worker in workers if worker.flight).end(1.0)
    submit(group, MANY)
    assert busy(workers) == MANY
    assert group.queued == 0


async def test_a_held_call_waits_for_no_long_one() -> None:
    """A worker that has been at its call for longer than short calls take makes room for one more."""
    group, workers = group_of(MANY)
    submit(group, MANY)
    for worker in workers:
        worker.calls.last_begun = 0.0
    while busy(workers) < MANY:
        await asyncio.sleep(PATIENCE_SECONDS)
        for worker in workers:
            worker.calls.last_begun = 0.0
    assert group.queued == 0


async def test_a_held_call_that_was_given_up_takes_no_worker() -> None:
    """Nobody waits for it."""
    group, workers = group_of(MANY)
    flights = submit(group, ENOUGH + 2)
    flights[ENOUGH].give_up()
    worker = next(worker for worker in workers if worker.flight)
    worker.end(0.0)
    assert worker.flight is flights[ENOUGH + 1]
    assert group.queued == 0


async def test_workers_that_take_several_calls_are_filled_one_after_the_other() -> None:
    """They are few already."""
    group, _ = group_of(MANY, concurrency=2)
    submit(group, MANY)
    assert group.queued == 0


def test_short_calls_that_had_to_wait_for_a_processor_are_not_taken_for_long_ones() -> None:
    """As long as one in ten is short, the version's calls are: the others were as short, and only had to wait."""
    spread = Spread(Host())
    for number in range(1000):
        spread.ended(PATIENCE_SECONDS / 10 if number % 10 == 0 else PATIENCE_SECONDS * 2)
        assert spread.is_enough(ENOUGH)
    for _ in range(1000):
        spread.ended(PATIENCE_SECONDS * 2)
    assert not spread.is_enough(ENOUGH)


def test_calls_do_not_wait_while_the_processors_have_time() -> None:
    """What keeps their workers busy is then not computing, however short they are."""
    assert Spread(Host()).is_enough(ENOUGH)
    assert not Spread(Host(left=True)).is_enough(ENOUGH)
