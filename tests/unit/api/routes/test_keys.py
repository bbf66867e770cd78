"""API keys: the default one and the others, and what each opens."""

from datetime import timedelta

import pytest

from cloudserve.core.auth.tokens import digest
from cloudserve.core.models.base import utc_now
from tests.unit.api.support import Platform, User


async def test_the_default_key_is_shown_once(platform: Platform, ada: User) -> None:
    """Before there is one, and after it was made, only what may be shown."""
    assert (await ada.http.get("/api/apikey")).json()["apiKey"] is None
    key = (await ada.http.post("/api/apikey/regenerate")).json()["apiKey"]
    assert key.startswith("csk_")
    masked = (await ada.http.get("/api/apikey")).json()
    assert masked["apiKey"] == f"csk_…{key[-4:]}"
    assert masked["createdAt"]
    assert (await platform.with_key(key).get("/api/auth/me")).json()["user"]["_id"] == ada.id


async def test_a_regenerated_key_replaces_the_one_before(platform: Platform, ada: User) -> None:
    """Which opens nothing from then on."""
    first = (await ada.http.post("/api/apikey/regenerate")).json()["apiKey"]
    second = (await ada.http.post("/api/apikey/regenerate")).json()["apiKey"]
    assert (await platform.with_key(first).get("/api/auth/me")).status_code == 401
    assert (await platform.with_key(second).get("/api/auth/me")).status_code == 200
    assert len((await ada.http.get("/api/keys")).json()["keys"]) == 1


@pytest.mark.parametrize("header", ["api-key", "x-api-key", "authorization"])
async def test_a_key_may_come_in_three_headers(platform: Platform, ada: User, header: str) -> None:
    """As callers of functions send it too."""
    key = (await ada.http.post("/api/apikey/regenerate")).json()["apiKey"]
    value = f"Bearer {key}" if header == "authorization" else key
    http = platform.client(origin=None)
    assert (await http.get("/api/auth/me", headers={header: value})).status_code == 200


async def test_a_key_is_kept_as_a_hash(platform: Platform, ada: User) -> None:
    """And nowhere in the answers to come."""
    answer = (await ada.http.post("/api/keys", json={"name": "ci", "scopes": ["read", "read"]})).json()
    key = answer["apiKey"]
    assert answer["key"]["scopes"] == ["read"]
    row = await platform.store.keys.by_hash(digest(key))
    assert row is not None
    assert key not in row.model_dump_json()
    listed = await ada.http.get("/api/keys")
    assert listed.json()["keys"] == [answer["key"]]
    assert digest(key) not in listed.text


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scopes": ["read"]}, "name"),
        ({"name": "", "scopes": ["read"]}, "name"),
        ({"name": "ci", "scopes": []}, "scopes"),
        ({"name": "ci", "scopes": ["root"]}, "scopes.0"),
        ({"name": "ci", "scopes": ["read"], "expiresAt": "2020-01-01T00:00:00Z"}, "expiresAt"),
        ({"name": "ci", "scopes": ["read"], "functionIds": ["unknown"]}, "functionIds.0"),
        ({"name": "ci", "scopes": ["read"], "kind": "machine"}, "kind"),
        ({"name": "ci", "scopes": ["read"], "ownerId": "another"}, "ownerId"),
    ],
)
async def test_a_fault_in_a_key_names_its_field(ada: User, body: dict[str, object], field: str) -> None:
    """And makes no key."""
    answer = await ada.http.post("/api/keys", json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (await ada.http.get("/api/keys")).json()["keys"] == []


async def test_a_deleted_key_opens_nothing(platform: Platform, ada: User) -> None:
    """From the next request on."""
    made = (await ada.http.post("/api/keys", json={"name": "ci", "scopes": ["read"]})).json()
    http = platform.with_key(made["apiKey"])
    assert (await http.get("/api/functions")).status_code == 200
    assert (await ada.http.delete(f"/api/keys/{made['key']['_id']}")).json() == {"deleted": 1}
    assert (await http.get("/api/functions")).status_code == 401
    assert (await ada.http.delete(f"/api/keys/{made['key']['_id']}")).status_code == 404


async def test_an_expired_key_opens_nothing(platform: Platform, ada: User) -> None:
    """The answer says that it has expired."""
    later = (utc_now() + timedelta(hours=1)).isoformat()
    body = {"name": "ci", "scopes": ["read"], "expiresAt": later}
    key = (await ada.http.post("/api/keys", json=body)).json()["apiKey"]
    http = platform.with_key(key)
    assert (await http.get("/api/functions")).status_code == 200
    row = await platform.store.keys.by_hash(digest(key))
    assert row is not None
    await platform.store.keys.delete(ada.id, row.id)
    row.expires_at = utc_now()
    await platform.store.keys.add(row)
    answer = await http.get("/api/functions")
    assert answer.status_code == 401
    assert "expired" in answer.json()["message"]


async def test_a_use_is_recorded_but_not_with_each_request(platform: Platform, ada: User) -> None:
    """Once a minute is enough, and spares the store."""
    http = await platform.key_of(ada, "read")
    await http.get("/api/functions")
    first = (await ada.http.get("/api/keys")).json()["keys"][0]["lastUsedAt"]
    assert first is not None
    await http.get("/api/functions")
    assert (await ada.http.get("/api/keys")).json()["keys"][0]["lastUsedAt"] == first


async def test_a_key_for_some_functions_sees_no_other(platform: Platform, ada: User) -> None:
    """It lists, shows and changes its own, and makes none."""
    own, other = [await platform.function_of(ada, name) for name in ("own", "other")]
    http = await platform.key_of(ada, "read", "deploy", functionIds=[own.id])
    assert [found["_id"] for found in (await http.get("/api/functions")).json()["functions"]] == [own.id]
    assert (await http.get(f"/api/functions/{own.id}")).status_code == 200
    assert (await http.get(f"/api/functions/{other.id}")).status_code == 404
    assert (await http.put(f"/api/functions/{other.id}", json={"isActive": False})).status_code == 404
    body = {"name": "new", "code": "module.exports = 1", "filename": "a.js"}
    answer = await http.post("/api/functions/deploy", json=body)
    assert (answer.status_code, answer.json()["reason"]) == (403, "key-limited")
    for path in ("/api/keys", "/api/apikey", "/api/auth/sessions"):
        answer = await http.get(path)
        assert (answer.status_code, answer.json()["reason"]) == (403, "key-limited")


async def test_a_key_for_some_functions_can_t_widen_itself(platform: Platform, ada: User) -> None:
    """So it never has the scope admin."""
    own = await platform.function_of(ada)
    body = {"name": "ci", "scopes": ["admin"], "functionIds": [own.id]}
    answer = await ada.http.post("/api/keys", json=body)
    assert answer.json()["errors"][0]["field"] == "scopes"


async def test_an_unknown_key_is_refused_even_beside_a_session(ada: User) -> None:
    """Whoever sends a key means the key."""
    answer = await ada.http.get("/api/auth/me", headers={"api-key": "csk_unknown"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="cloudserve"'


async def test_a_session_s_token_is_no_key(platform: Platform, ada: User) -> None:
    """It counts in its cookie alone, where the rules for browsers hold."""
    token = ada.http.cookies["cloudserve"]
    assert (await platform.with_key(token).get("/api/auth/me")).status_code == 401
