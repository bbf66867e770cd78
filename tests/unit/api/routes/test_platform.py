"""What is told without a sign-in."""

from pathlib import Path

import pytest

from cloudserve.core.auth.proof import prove
from cloudserve.core.auth.tokens import digest, new_api_key
from cloudserve.core.models.owner import ALL_SCOPES, ApiKey
from cloudserve.core.objects.abc import ObjectsUnavailable
from cloudserve.core.store.abc import Unavailable
from tests.unit.api.support import Platform, User, running


async def test_the_platform_tells_what_a_client_needs(platform: Platform) -> None:
    """Before anyone signs in."""
    answer = await platform.client(origin=None).get("/api/platform")
    assert answer.json() == {
        "version": "0.1.0",
        "url": "http://localhost:7700",
        "runUrl": "http://127.0.0.1:7701",
        "signup": "open",
        "mail": False,
        "googleClientId": None,
        "walls": {
            "tier": "B",
            "title": "namespaces and mounts of their own, as an ordinary user",
            "layersOn": None,
            "layersOff": None,
        },
        "sandbox": {"kind": "local"},
    }


async def test_administrators_are_told_each_layer(platform: Platform, ada: User) -> None:
    """What is off, why, and the remedy; who looks for a way through is not."""
    owner = await platform.store.owners.by_name("ada")
    assert owner is not None
    secret = new_api_key()
    await platform.store.keys.add(ApiKey(owner_id=owner.id, key_hash=digest(secret), hint="h", scopes=list(ALL_SCOPES)))
    http = platform.client(origin=None)
    asked = [{"authorization": f"Bearer {secret}"}, {"api-key": secret}]
    for headers in asked:
        assert (await http.get("/api/platform", headers=headers)).json()["walls"]["layersOff"] is None
    await platform.store.owners.update(owner.model_copy(update={"is_admin": True}))
    for headers in asked:
        walls = (await http.get("/api/platform", headers=headers)).json()["walls"]
        assert walls["layersOn"] == [{"name": "seccomp", "how": ""}]
        assert walls["layersOff"] == [{"name": "other-users", "why": "it takes root", "remedy": "sudo it"}]
    assert (await ada.http.get("/api/platform")).json()["walls"]["layersOff"] is not None


async def test_a_key_that_opens_nothing_is_no_error_where_nobody_has_to_sign_in(platform: Platform) -> None:
    """It gets what everybody gets."""
    answer = await platform.client(origin=None).get("/api/platform", headers={"authorization": "Bearer csk_no"})
    assert (answer.status_code, answer.json()["walls"]["layersOff"]) == (200, None)


async def test_who_opens_the_address_reads_what_it_is(platform: Platform) -> None:
    """Where the API and the functions are, in plain text."""
    answer = await platform.client(origin=None).get("/")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "http://localhost:7700/api/openapi.json" in answer.text
    assert "http://127.0.0.1:7701/run/OWNER/FUNCTION" in answer.text


async def test_health_is_of_this_instance(platform: Platform) -> None:
    """Its token tells it from whoever else has the port."""
    assert (await platform.client(origin=None).get("/healthz")).json() == {"status": "ok", "instance": "this-one"}


async def test_health_proves_that_it_knows_the_machine_key(platform: Platform) -> None:
    """To a nonce, for its own port; the key itself is not told."""
    nonce = "0123456789abcdef" * 2
    told = (await platform.client(origin=None).get("/healthz", params={"nonce": nonce})).json()
    assert told["proof"] == prove(platform.credentials.machine_key, nonce, platform.settings.port)
    assert told["proof"] != prove(platform.credentials.machine_key, nonce, platform.settings.port + 1)
    assert (await platform.client(origin=None).get("/healthz", params={"nonce": "short"})).status_code == 422


async def test_readiness_names_what_is_away(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """The object store is done without, the store is not; health does not depend on them."""
    http = platform.client(origin=None)
    assert (await http.get("/readyz")).json() == {"status": "ready", "checks": {"store": "ok", "objects": "ok"}}

    async def away() -> None:
        raise ObjectsUnavailable("no such folder")

    monkeypatch.setattr(platform.service.context.objects, "ping", away)
    answer = await http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "checks": {"store": "ok", "objects": "ObjectsUnavailable"}}
    monkeypatch.setattr(platform.service.context.store, "ping", away)
    answer = await http.get("/readyz")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["status"] == "not-ready"
    assert (await http.get("/healthz")).status_code == 200


async def test_a_control_plane_that_leaves_is_not_ready(platform: Platform) -> None:
    """Though everything that it needs is there."""
    platform.service.leave()
    answer = await platform.client(origin=None).get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["process"]) == (503, "leaving")


async def test_a_store_that_is_away_is_a_503(platform: Platform, ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the time after which to try again, and nothing of the error itself."""

    async def away(owner_id: str) -> None:
        raise Unavailable("secret details of the host")

    monkeypatch.setattr(platform.store.functions, "list", away)
    answer = await ada.http.get("/api/functions")
    assert (answer.status_code, answer.json()["reason"], answer.headers["retry-after"]) == (503, "unavailable", "2")
    assert answer.json()["message"].startswith("The platform can't reach its store just now.")
    assert "secret details" not in answer.text


async def test_a_service_starts_and_stops(tmp_path: Path) -> None:
    """With its build worker and its sweeps, and without leaving a task behind."""
    async with running(tmp_path) as platform:
        await platform.service.start()
        assert (await platform.client().get("/healthz")).status_code == 200
        await platform.service.close()
