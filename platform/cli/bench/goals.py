"""What the figures are to be, and whether a report's are.

Shares and multiples hold on any machine and are asserted by the tests, with some slack. Milliseconds and megabytes
are those of a quiet machine: they are only held there, and told elsewhere.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Unit = Literal["share", "times", "ms", "MiB", "KiB"]

AT: Final = "32"
"""The number of connections that the goals of throughput are for."""

_IDLE_WORKERS: Final = 50


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure with its bound. `scenario` is the part of the report that `read` finds it in.

    `is_steady` is whether two runs of the same code find about the same: what one run says of another figure proves
    nothing, so the tests show it only.
    """

    name: str
    scenario: str
    unit: Unit
    direction: Literal["at least", "at most"]
    bound: float
    read: Callable[[Mapping[str, Any]], float]
    is_steady: bool = True

    @property
    def is_relative(self) -> bool:
        """Whether the figure is a ratio of two that were measured in one run."""
        return self.unit in ("share", "times")

    def holds(self, value: float, *, slack: float = 1.0) -> bool:
        """Tells whether a value is good enough; a `slack` below 1 widens the bound in that proportion."""
        return value >= self.bound * slack if self.direction == "at least" else value <= self.bound / slack


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal and what was measured."""

    goal: Goal
    value: float

    @property
    def is_met(self) -> bool:
        """Whether the goal is reached without any slack."""
        return self.goal.holds(self.value)


def verdicts(document: Mapping[str, Any]) -> list[Verdict]:
    """Returns how a report stands beside every goal that it has the figures for."""
    found = []
    for goal in GOALS:
        with contextlib.suppress(KeyError):  # the run left it out
            found.append(Verdict(goal, goal.read(document["scenarios"][goal.scenario])))
    return found


def _share(contender: str) -> Callable[[Mapping[str, Any]], float]:
    return lambda found: float(found[AT][contender]["share"]["median"])


def _multiple(contender: str, of: str) -> Callable[[Mapping[str, Any]], float]:
    return lambda found: float(found[AT][contender]["share"]["median"] / found[AT][of]["share"]["median"])


def _at(*path: str) -> Callable[[Mapping[str, Any]], float]:
    def read(found: Mapping[str, Any]) -> float:
        value: Any = found
        for key in path:
            value = value[key]
        return float(value)

    return read


def _of_fifty(group: str) -> Callable[[Mapping[str, Any]], float]:
    return lambda found: float(found[group]["mib"] / found["workers"] * _IDLE_WORKERS)


GOALS: Final = (
    Goal("Python, share of plain uvicorn", "throughput", "share", "at least", 0.35, _share("python")),
    Goal("Node, share of plain uvicorn", "throughput", "share", "at least", 0.35, _share("node")),
    Goal(
        "Python at concurrency 16, share of plain uvicorn", "throughput", "share", "at least", 0.55, _share("python-16")
    ),
    Goal("Node at concurrency 16, share of plain uvicorn", "throughput", "share", "at least", 0.55, _share("node-16")),
    Goal(
        "Python, times Functions Framework",
        "throughput",
        "times",
        "at least",
        2.5,
        _multiple("python", "framework-python"),
    ),
    Goal(
        "Node, times Functions Framework", "throughput", "times", "at least", 2.0, _multiple("node", "framework-node")
    ),
    Goal("First call, Python, p50", "cold", "ms", "at most", 8, _at("python", "p50Ms")),
    Goal("First call, Python, p99", "cold", "ms", "at most", 40, _at("python", "p99Ms")),
    Goal("First call, Node 5 KB, p50", "cold", "ms", "at most", 8, _at("node", "p50Ms")),
    Goal("First call, Node 5 KB, p99", "cold", "ms", "at most", 40, _at("node", "p99Ms")),
    Goal(
        "First call, Python with requests, p50 without the import",
        "cold",
        "ms",
        "at most",
        8,
        _at("python-requests", "p50MsWithoutImport"),
    ),
    Goal("Burst of first calls, Python, p99", "burst", "ms", "at most", 1500, _at("python", "p99Ms", "median")),
    Goal("Burst of first calls, Node, p99", "burst", "ms", "at most", 1500, _at("node", "p99Ms", "median")),
    Goal("Fifty idle Python workers", "idle", "MiB", "at most", 250, _of_fifty("python")),
    Goal("Fifty idle workers, half Python, half Node", "idle", "MiB", "at most", 250, _of_fifty("mixed")),
    Goal("A function without a worker", "many", "KiB", "at most", 10, _at("keptKibEach")),
    Goal("Memory grown over many calls", "growth", "MiB", "at most", 2, _at("grownMib")),
    Goal(
        "CPU time of a warm Python call, with walls", "walls", "times", "at most", 1.05, _at("python", "cpu", "median")
    ),
    Goal("CPU time of a warm Node call, with walls", "walls", "times", "at most", 1.05, _at("node", "cpu", "median")),
    Goal(
        "A stranger's mean beside 8 spinning neighbours",
        "neighbours",
        "times",
        "at most",
        2,
        _at("mean", "times", "median"),
    ),
    Goal(  # near one call in twenty waits for a tick of the scheduler, and whether it is more decides (performance.md)
        "A stranger's p95 beside 8 spinning neighbours",
        "neighbours",
        "times",
        "at most",
        2,
        _at("p95", "times", "median"),
        is_steady=False,
    ),
)
