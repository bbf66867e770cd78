"""A gateway is ready while what it has cached holds."""

from cloudserve.core.store.abc import Store
from cloudserve.gateway.changes import ChangeFeed
from cloudserve.gateway.readiness import GatewayReadiness
from tests.unit.gateway.support import Platform


class Recorded:
    """A recorder whose spool is as full as a test says."""

    fullness = 0.0


class Aged(ChangeFeed):
    """A feed that was answered as long ago as a test says."""

    age = 0.0

    @property
    def staleness(self) -> float:
        """Returns it."""
        return self.age

    @property
    def fresh(self) -> bool:
        """Tells whether that is not too long."""
        return self.age < self.tolerance_seconds


async def looked_at(*, age: float = 0, fullness: float = 0, lacking: str | None = None) -> GatewayReadiness:
    """Returns the readiness of a gateway in that state."""
    store: Store = None  # type: ignore[assignment] # it is not asked
    feed, recorder = Aged(store, [], tolerance_seconds=300), Recorded()
    feed.age, recorder.fullness = age, fullness
    return GatewayReadiness(feed, recorder, lambda: lacking)  # type: ignore[arg-type] # a stand-in


async def test_a_gateway_whose_store_has_just_gone_is_ready() -> None:
    """And says for how long."""
    found = (await looked_at(age=12)).check()
    assert found.ready
    assert found.checks == {
        "store": "no answer for 12 seconds; what is cached is served for 288 more",
        "sandbox": "ok",
        "spool": "ok",
    }


async def test_a_gateway_whose_store_has_been_away_for_long_is_not() -> None:
    """Keys fail closed by then."""
    found = (await looked_at(age=301)).check()
    assert not found.ready
    assert found.checks["store"] == "no answer for 301 seconds, which is too long to go on with what is cached"


async def test_a_gateway_without_workers_is_not_ready() -> None:
    """Whatever else it has."""
    found = (await looked_at(lacking="none of 2 sandboxes can be reached")).check()
    assert (found.ready, found.checks["sandbox"]) == (False, "none of 2 sandboxes can be reached")


async def test_a_full_spool_is_told() -> None:
    """Calls go on: what is lost then are records."""
    found = (await looked_at(fullness=0.75)).check()
    assert (found.ready, found.checks["spool"]) == (True, "75% full of records that wait for the store")


async def test_a_gateway_that_leaves_is_not_ready(platform: Platform) -> None:
    """The probe on its own port says so, too."""
    ready = await platform.functions.get("/readyz")
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ready", "checks": {"store": "ok", "sandbox": "ok", "spool": "ok"}},
    )
    platform.gateway.leave()
    leaving = await platform.functions.get("/readyz")
    assert (leaving.status_code, leaving.headers["retry-after"]) == (503, "2")
    assert leaving.json()["checks"]["process"] == "leaving"
