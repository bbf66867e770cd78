"""Counts calls by function, for Prometheus. A call costs one look-up and a few additions; the rest is done for readers.

Labels stay few however many functions there are: the `MOST_NAMED` that were called most of late have a series each, all
others share one, `other`. Who belongs to which is looked at once in `RANK_SECONDS`. No counter ever goes down: a
function that gets a series of its own starts at nothing there, and what it counted as one of the others stays theirs.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from cloudserve.core.config import MEBIBYTE
from cloudserve.sandbox.abc import Deployment, Outcome

MOST_NAMED: Final = 100
RANK_SECONDS: Final = 60.0
MOST_SHARES: Final = 20_000
"""As many as the gateway keeps routes: functions nobody calls any more are forgotten before there are more."""

BOUNDS_MS: Final = (1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0, 30_000.0)
OTHER: Final = ("", "other")
"""The labels of the rest; no owner's name is empty, so that no function is taken for it."""

Name = tuple[str, str]


class Tally:
    """The counts of one series."""

    __slots__ = ("cold", "errors", "memory_mb", "name", "total_ms", "within")

    def __init__(self, name: Name) -> None:
        self.name = name
        self.within = [0] * (len(BOUNDS_MS) + 1)
        self.total_ms = 0.0
        self.errors = 0
        self.cold = 0
        self.memory_mb = 0.0


class _Share:
    """One function: which series it counts into, and how often it was called of late."""

    __slots__ = ("recent", "tally")

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.recent = 0


class Meters:
    """The calls of one gateway. `name_of` returns owner and name of a function by its id, None if it has gone."""

    def __init__(
        self,
        name_of: Callable[[str], Name | None],
        *,
        most_named: int = MOST_NAMED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name_of = name_of
        self._most_named = most_named
        self._clock = clock
        self._shares: dict[str, _Share] = {}
        self._other = Tally(OTHER)
        self._named = 0
        self._refused: dict[str, int] = {}
        self._rank_at = clock() + RANK_SECONDS

    def count(self, deployment: Deployment, outcome: Outcome) -> None:
        """Counts one call."""
        share = self._shares.get(deployment.function_id) or self._new(deployment.function_id)
        share.recent += 1
        tally = share.tally
        tally.within[bisect_left(BOUNDS_MS, outcome.duration_ms)] += 1
        tally.total_ms += outcome.duration_ms
        tally.memory_mb = outcome.memory_mb
        if outcome.status != "success":
            tally.errors += 1
        if outcome.cold is not None:
            tally.cold += 1

    def refused(self, reason: str) -> None:
        """Counts a call that the gateway itself has refused."""
        self._refused[reason] = self._refused.get(reason, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics."""
        if self._clock() >= self._rank_at:
            self._rank()
        labels = ["owner", "function"]
        calls = CounterMetricFamily("cloudserve_function_calls", "Calls that a worker was asked for.", labels=labels)
        errors = CounterMetricFamily(
            "cloudserve_function_errors", "Calls that failed, ran out of time or were broken off.", labels=labels
        )
        cold = CounterMetricFamily(
            "cloudserve_function_cold_starts", "Calls that had to wait for a new worker.", labels=labels
        )
        memory = GaugeMetricFamily(
            "cloudserve_function_memory_bytes", "Peak memory of the worker of the newest call.", labels=labels
        )
        durations = HistogramMetricFamily(
            "cloudserve_function_duration_seconds", "How long the worker took for a call.", labels=labels
        )
        bounds = [*(str(bound / 1000) for bound in BOUNDS_MS), "+Inf"]
        for tally in self._tallies():
            within = list(zip(bounds, accumulate(tally.within), strict=True))
            calls.add_metric(tally.name, within[-1][1])
            errors.add_metric(tally.name, tally.errors)
            cold.add_metric(tally.name, tally.cold)
            memory.add_metric(tally.name, tally.memory_mb * MEBIBYTE)
            durations.add_metric(tally.name, within, tally.total_ms / 1000)
        yield from (calls, errors, cold, memory, durations)
        refusals = CounterMetricFamily(
            "cloudserve_gateway_refusals", "Calls that the gateway answered itself, by reason.", labels=["reason"]
        )
        for reason, count in self._refused.items():
            refusals.add_metric([reason], count)
        yield refusals

    def _tallies(self) -> Iterator[Tally]:
        yield from (share.tally for share in self._shares.values() if share.tally is not self._other)
        if any(self._other.within):
            yield self._other

    def _new(self, function_id: str) -> _Share:
        if len(self._shares) >= MOST_SHARES:
            self._rank()
        share = self._shares[function_id] = _Share(self._other)
        if self._named < self._most_named:
            self._name(function_id, share)
        return share

    def _name(self, function_id: str, share: _Share) -> None:
        name = self._name_of(function_id)
        if name is not None:
            share.tally = Tally(name)
            self._named += 1

    def _rank(self) -> None:
        """Gives the series to those that were called most; of equals, to those that have one."""
        self._rank_at = self._clock() + RANK_SECONDS
        ranked = sorted(
            self._shares.items(),
            key=lambda item: (item[1].recent, item[1].tally is not self._other),
            reverse=True,
        )
        for function_id, share in ranked[self._most_named :]:
            if share.tally is not self._other:
                share.tally = self._other
                self._named -= 1
            if share.recent == 0:
                del self._shares[function_id]
        for function_id, share in ranked[: self._most_named]:
            if share.tally is self._other:
                self._name(function_id, share)
            elif self._name_of(function_id) is None and share.recent == 0:
                del self._shares[function_id]
                self._named -= 1
        for share in self._shares.values():
            share.recent //= 2
