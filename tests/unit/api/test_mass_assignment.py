"""No body sets what its route does not list: held for every body that there is, found in the OpenAPI document."""

from typing import Any

import pytest

from tests.unit.api.support import Platform, User
from tests.unit.api.test_isolation import everything_of, routes

INTRUDERS: dict[str, Any] = {
    "isAdmin": True,
    "ownerId": "another",
    "_id": "chosen",
    "createdAt": "2020-01-01T00:00:00Z",
}
WITHOUT_BODY = {"POST /api/auth/logout", "POST /api/apikey/regenerate"}
CHANGING = [
    (method, route.path)
    for method, route in routes()
    if method in {"POST", "PUT"} and f"{method} {route.path}" not in WITHOUT_BODY
]


@pytest.mark.parametrize(("method", "path"), CHANGING)
async def test_what_is_not_listed_is_refused(platform: Platform, ada: User, method: str, path: str) -> None:
    """By name, each of them, with the remedy to leave it out."""
    ids = await everything_of(platform, ada)
    owner = await platform.store.owners.get(ada.id)
    assert owner is not None
    owner.is_admin = True
    await platform.store.owners.update(owner)
    machine = path == "/api/admin/administrator"
    http = platform.with_key(platform.credentials.machine_key) if machine else ada.http
    answer = await http.request(method, path.format(**ids), json=INTRUDERS)
    assert answer.status_code == 422
    refused = {error["field"] for error in answer.json()["errors"] if error["message"].endswith("is not known here.")}
    assert refused == set(INTRUDERS)


async def test_what_is_nested_is_held_to_its_names_too(ada: User) -> None:
    """Limits, egress and CORS rules."""
    body = {"name": "hello", "code": "module.exports = 1", "filename": "a.js"}
    nested = {"limits": {"ownerId": "x"}, "egress": {"ownerId": "x"}, "cors": {"ownerId": "x"}}
    answer = await ada.http.post("/api/functions/deploy", json=body | nested)
    assert {error["field"] for error in answer.json()["errors"]} == {f"{name}.ownerId" for name in nested}
