"""A process waits for its servers as long as they take, and says for which."""

import pytest

from cloudserve.cli.services import stage as module
from cloudserve.cli.services.stage import Stage
from cloudserve.core.readiness import OK, Readiness
from cloudserve.core.store.abc import StoreError, Unavailable


async def test_a_server_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Meanwhile the process is not ready, and names it."""
    monkeypatch.setattr(module, "FIRST_WAIT", 0.001)
    stage = Stage()
    told: list[Readiness] = []

    async def opening() -> None:
        told.append(await stage.readiness())
        if len(told) < 3:
            raise Unavailable("mongodb://db:27017 does not answer")

    await stage.wait_for("store", opening)
    assert [found.checks for found in told] == [
        {"process": "starting"},
        {"process": "starting", "store": "Unavailable"},
        {"process": "starting", "store": "Unavailable"},
    ]
    assert not any(found.ready for found in told)
    assert (await stage.readiness()).checks == {"process": "starting"}


async def test_what_another_try_would_not_change_is_raised() -> None:
    """Such as a store of a newer schema."""
    stage = Stage()

    async def opening() -> None:
        raise StoreError("its schema is newer")

    with pytest.raises(StoreError):
        await stage.wait_for("store", opening)


async def test_once_it_serves_the_service_itself_is_asked() -> None:
    """Each time anew."""
    stage = Stage()

    async def check() -> Readiness:
        return Readiness(True, {"store": OK})

    stage.serving(check)
    assert (await stage.readiness()).document() == {"status": "ready", "checks": {"store": "ok"}}
