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


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Returns how much `y` grows for each `x`: of the straight line that fits the points best (least squares)."""
    xs, ys = zip(*points, strict=True)
    return statistics.linear_regression(xs, ys).slope
