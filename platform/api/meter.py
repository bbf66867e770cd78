"""Counts the requests of the control plane, for Prometheus."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

BOUNDS_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestMeter:
    """What is counted by method and status alone: a path is a caller's to choose, and labels must stay few."""

    def __init__(self) -> None:
        self._answered: dict[tuple[str, str], int] = {}
        self._within = [0] * (len(BOUNDS_SECONDS) + 1)
        self._seconds = 0.0

    def count(self, method: str, status: int, seconds: float) -> None:
        """Counts one answer."""
        key = (method if method in _METHODS else "other", str(status))
        self._answered[key] = self._answered.get(key, 0) + 1
        self._within[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self._seconds += seconds

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics."""
        requests = CounterMetricFamily(
            "cloudserve_api_requests", "Requests that the control plane has answered.", labels=["method", "status"]
        )
        for labels, count in self._answered.items():
            requests.add_metric(labels, count)
        yield requests
        durations = HistogramMetricFamily(
            "cloudserve_api_request_duration_seconds", "From a request's head to the end of its answer."
        )
        bounds = [*map(str, BOUNDS_SECONDS), "+Inf"]
        durations.add_metric([], list(zip(bounds, accumulate(self._within), strict=True)), self._seconds)
        yield durations
