"""A stranger's calls while eight functions of somebody else take all the CPU that they get, and without them."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean
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
_ROUNDS: Final = 7
"""Also in a quick run: a turn's 95th percentile rests on its ten slowest calls: a median of three is chance."""

_CALLS_A_SECOND: Final = 100
_START_SECONDS: Final = 0.5


def measure(session: Session) -> dict[str, Any]:
    """Returns the stranger's mean and 95th percentile in milliseconds, alone and beside them, and how many times each
    became.
    """
    spinning = [functions.spinning(f"spin-{number}", _NEIGHBOUR) for number in range(NEIGHBOURS)]
    alone: list[list[float]] = []
    beside: list[list[float]] = []
    with platform([functions.python("stranger"), *spinning]) as subject:
        stranger = subject.target("stranger")
        neighbours = [subject.target(seed.name, owner=_NEIGHBOUR) for seed in spinning]
        with caller(stranger) as connection:
            _calls(connection, stranger, session.plan.seconds)
            with _spinning(neighbours):  # none of them has been seen to compute for long yet, nor given way
                _calls(connection, stranger, session.plan.seconds)
            for number in range(_ROUNDS):
                session.say(f"round {number + 1} of {_ROUNDS}")
                alone.append(_calls(connection, stranger, session.plan.seconds))
                with _spinning(neighbours):
                    beside.append(_calls(connection, stranger, session.plan.seconds))
    return {"neighbours": NEIGHBOURS, "mean": _compared(fmean, alone, beside), "p95": _compared(_p95, alone, beside)}


def _compared(
    figure: Callable[[Sequence[float]], float], alone: Sequence[Sequence[float]], beside: Sequence[Sequence[float]]
) -> dict[str, Any]:
    without, with_them = [figure(turn) for turn in alone], [figure(turn) for turn in beside]
    ratios = [more / less for more, less in zip(with_them, without, strict=True)]
    return {"aloneMs": spread(without), "besideMs": spread(with_them), "times": spread(ratios)}


def _p95(ms: Sequence[float]) -> float:
    return percentile(ms, 0.95)


def _calls(connection: Caller, target: Target, seconds: int) -> list[float]:
    ms = []
    for _ in range(seconds * _CALLS_A_SECOND):
        ms.append(connection.call(target).ms)
        time.sleep(INTERVAL_SECONDS)
    return ms


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
