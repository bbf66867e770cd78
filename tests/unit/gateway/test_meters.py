"""Calls are counted by function, and however many functions there are, the series stay few."""

from pathlib import Path

from prometheus_client import CollectorRegistry

from cloudserve.core.models.function import Limits
from cloudserve.gateway.meters import RANK_SECONDS, Meters
from cloudserve.sandbox.abc import ColdStart, Deployment, Outcome
from tests.unit.gateway.support import Platform, failure

OK = Outcome("success", duration_ms=3, memory_mb=2)


class Clock:
    """A clock that tests set."""

    now = 0.0

    def __call__(self) -> float:
        """Returns the time."""
        return self.now


def deployment(function_id: str) -> Deployment:
    """Returns a version of a function."""
    return Deployment(
        version_id="v",
        function_id=function_id,
        owner_id="o",
        number=1,
        runtime="node",
        code=Path("/"),
        entry="index.cjs",
        handler=None,
        layer=None,
        limits=Limits(),
        egress="all",  # type: ignore[arg-type] # not looked at here
        environment={},
    )


class Counting:
    """Meters of functions `f1`, `f2`, … of the owner `ada`, and what a scrape of them says."""

    def __init__(self, most_named: int = 2) -> None:
        self.clock = Clock()
        self.gone: set[str] = set()
        self.meters = Meters(self._name_of, most_named=most_named, clock=self.clock)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self.meters)

    def _name_of(self, function_id: str) -> tuple[str, str] | None:
        return None if function_id in self.gone else ("ada", function_id)

    def call(self, function_id: str, times: int = 1, outcome: Outcome = OK) -> None:
        """Counts calls."""
        for _ in range(times):
            self.meters.count(deployment(function_id), outcome)

    def of(self, function: str, metric: str = "cloudserve_function_calls_total", **labels: str) -> float | None:
        """Returns a sample, None where there is none."""
        owner = "" if function == "other" else "ada"
        return self._registry.get_sample_value(metric, {"owner": owner, "function": function, **labels})

    def later(self) -> None:
        """Has the series given anew."""
        self.clock.now += RANK_SECONDS


def test_a_call_is_counted_with_what_became_of_it() -> None:
    """Duration, memory, failure and cold start."""
    counting = Counting()
    counting.call("f1")
    counting.call("f1", outcome=Outcome("timeout", duration_ms=10_000, memory_mb=64, cold=ColdStart(1, 1, 1)))
    assert counting.of("f1") == 2
    assert counting.of("f1", "cloudserve_function_errors_total") == 1
    assert counting.of("f1", "cloudserve_function_cold_starts_total") == 1
    assert counting.of("f1", "cloudserve_function_memory_bytes") == 64 * 1024 * 1024
    assert counting.of("f1", "cloudserve_function_duration_seconds_sum") == 10.003
    assert counting.of("f1", "cloudserve_function_duration_seconds_bucket", le="0.0025") == 0
    assert counting.of("f1", "cloudserve_function_duration_seconds_bucket", le="0.005") == 1
    assert counting.of("f1", "cloudserve_function_duration_seconds_bucket", le="+Inf") == 2


def test_functions_beyond_the_bound_share_a_series() -> None:
    """Which counts all of them."""
    counting = Counting()
    for number in range(1, 6):
        counting.call(f"f{number}", number)
    assert [counting.of(f"f{number}") for number in range(1, 6)] == [1, 2, None, None, None]
    assert counting.of("other") == 12


def test_the_series_go_to_those_that_are_called_most() -> None:
    """And no counter goes down: what was counted as one of the others stays there."""
    counting = Counting()
    counting.call("f1")
    counting.call("f2", 5)
    counting.call("f3", 9)
    counting.later()
    assert (counting.of("f1"), counting.of("f2"), counting.of("f3"), counting.of("other")) == (None, 5, 0, 9)
    counting.call("f3")
    counting.call("f1")
    assert (counting.of("f2"), counting.of("f3"), counting.of("other")) == (5, 1, 10)


def test_a_function_keeps_its_series_against_one_that_is_called_as_often() -> None:
    """Series that come and go tell nobody anything."""
    counting = Counting(most_named=1)
    counting.call("f1", 4)
    counting.call("f2", 4)
    counting.later()
    assert (counting.of("f1"), counting.of("f2")) == (4, None)


def test_a_function_that_is_gone_loses_its_series() -> None:
    """Once nobody has called it for a while."""
    counting = Counting(most_named=1)
    counting.call("f1")
    counting.gone.add("f1")
    for _ in range(3):
        counting.later()
        counting.of("f1")
    assert counting.of("f1") is None
    counting.call("f2")
    assert counting.of("f2") == 1


def test_what_nobody_has_called_has_no_series() -> None:
    """Neither has the rest, while there is none."""
    assert Counting().of("other") is None


async def test_the_gateway_counts_every_way_that_a_call_can_go(platform: Platform) -> None:
    """Straight, failed and refused."""
    owner = await platform.owner()
    await platform.function(owner)
    headers = {"api-key": await platform.key(owner)}
    for _ in range(3):
        assert (await platform.functions.get("/run/alice/hello", headers=headers)).status_code == 200
    assert (await platform.functions.get("/run/alice/hello")).status_code == 401
    assert (await platform.functions.get("/run/alice/nothing")).status_code == 404

    async def boom(_deployment: object, _call: object) -> None:
        raise failure()

    platform.scripted.script = boom  # type: ignore[assignment] # it never answers
    assert (await platform.functions.get("/run/alice/hello", headers=headers)).status_code == 500
    registry = CollectorRegistry(auto_describe=False)
    registry.register(platform.gateway.metrics)
    labels = {"owner": "alice", "function": "hello"}
    assert registry.get_sample_value("cloudserve_function_calls_total", labels) == 4
    assert registry.get_sample_value("cloudserve_function_errors_total", labels) == 1
    assert registry.get_sample_value("cloudserve_gateway_refusals_total", {"reason": "no-key"}) == 1
    assert registry.get_sample_value("cloudserve_gateway_refusals_total", {"reason": "not-found"}) == 1
    assert registry.get_sample_value("cloudserve_gateway_fresh") == 1
    assert registry.get_sample_value("cloudserve_spool_lost_bytes_total") == 0
