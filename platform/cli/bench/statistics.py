"""What is told of many measurements: the middle one, and how far they are apart."""

import math
import statistics
from collections.abc import Sequence
from typing import TypedDict


class Spread(TypedDict):
    """Several measurements of one thing."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Returns the median, the least and the greatest of some values."""
    return {"median": rounded(statistics.median(values)), "low": rounded(min(values)), "high": rounded(max(values))}


def percentile(values: Sequence[float], share: float) -> float:
    """Returns the least value that at least a `share` (0 to 1) of the values do not exceed (the nearest rank)."""
    ordered = sorted(values)
    return rounded(ordered[max(0, math.ceil(share * len(ordered)) - 1)])


def rounded(value: float) -> float:
    """Returns a value to four significant digits: more would pretend a precision that no run has."""
    return float(f"{value:.4g}")


def rise(points: Sequence[tuple[float, float]]) -> float:
    """Returns how much the peaks of `y` grow for each `x`, from the first half of the points to the second.

    What goes up and down, as a heap with a garbage collector does, has its peaks in both halves: a straight line would
    take the phase that it ends in for growth.
    """
    first, second = points[: len(points) // 2], points[-(len(points) // 2) :]
    distance = statistics.fmean(x for x, _ in second) - statistics.fmean(x for x, _ in first)
    return (max(y for _, y in second) - max(y for _, y in first)) / distance
