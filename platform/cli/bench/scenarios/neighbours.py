"""A stranger's calls while eight functions of somebody else take all the CPU that they get, and without them."""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from cloudserve.cli.bench import functions
from cloudserve.cli.bench.calls import Caller, caller
from cloudserve.cli.bench.load import Target
from cloudserve.cli.bench.session import Session
from cloudserve.cli.bench.statistics import percentile, spread
from cloudserve.cli.bench.subject import platform

NEIGHBOURS: Final = 8
INTERVAL_SECONDS: Final = 0.01

_NEIGHBOUR: Final = "neighbour"
_CALLS_A_SECOND: Final = 100
_START_SECONDS: Final = 0.5


def measure(session: Session) -> dict[str, Any]:
    """Returns the stranger's 95th percentile in milliseconds, alone and beside them, and how many times it became."""
    spinning = [functions.spinning(f"spin-{number}", _NEIGHBOUR) for number in range(NEIGHBOURS)]
    alone: list[float] = []
    beside: list[float] = []
    with platform([functions.python("stranger"), *spinning]) as subject:
        stranger = subject.target("stranger")
        neighbours = [subject.target(seed.name, owner=_NEIGHBOUR) for seed in spinning]
        with caller(stranger) as connection:
            _p95(connection, stranger, session.plan.seconds)
            for number in range(session.plan.rounds):
                session.say(f"round {number + 1} of {session.plan.rounds}")
                alone.append(_p95(connection, stranger, session.plan.seconds))
                with _spinning(neighbours):
                    beside.append(_p95(connection, stranger, session.plan.seconds))
    ratios = [with_them / without for with_them, without in zip(beside, alone, strict=True)]
    return {"neighbours": NEIGHBOURS, "aloneMs": spread(alone), "besideMs": spread(beside), "times": spread(ratios)}


def _p95(connection: Caller, target: Target, seconds: int) -> float:
    ms = []
    for _ in range(seconds * _CALLS_A_SECOND):
        ms.append(connection.call(target).ms)
        time.sleep(INTERVAL_SECONDS)
    return percentile(ms, 0.95)


@contextlib.contextmanager
def _spinning(targets: Sequence[Target]) -> Iterator[None]:
    """Keeps each target busy from a thread of its own, which only waits."""
    enough = threading.Event()

    def keep_busy(target: Target) -> None:
        with caller(target) as connection:
            while not enough.is_set():
                connection.call(target)

    threads = [threading.Thread(target=keep_busy, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    time.sleep(_START_SECONDS)
    try:
        yield
    finally:
        enough.set()
        for thread in threads:
            thread.join()
