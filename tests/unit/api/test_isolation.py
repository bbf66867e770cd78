"""Whatever is another owner's does not exist: held for every route that there is, found in the application itself."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute

from cloudserve.api.app import ROUTERS
from cloudserve.api.openapi import scope_of
from cloudserve.core.ids import new_id
from cloudserve.core.models.base import utc_now
from cloudserve.core.models.execution import ExecutionLog, Usage
from cloudserve.core.models.function import Build, VersionSpec
from cloudserve.core.models.owner import ALL_SCOPES, ApiKey
from tests.unit.api.support import Platform, User

OPEN = {
    ("POST", "/api/auth/signup"),
    ("POST", "/api/auth/login"),
    ("POST", "/api/auth/verify"),
    ("POST", "/api/auth/resend-verification"),
    ("POST", "/api/auth/google"),
    ("POST", "/api/auth/logout"),
    ("POST", "/api/auth/forgot-password"),
    ("POST", "/api/auth/reset-password"),
    ("GET", "/api/platform"),
    ("GET", "/"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
}
"""What answers without a sign-in. A new route is not among them unless somebody writes it here."""

BODIES: dict[str, Any] = {
    "/api/functions/{functionId}": {"isActive": False},
    "/api/functions/{functionId}/redeploy": {},
    "/api/functions/{functionId}/rollback": {"version": 1},
    "/api/functions/{functionId}/secrets/{name}": {"value": "mine now"},
}
"""Bodies that would be right for the owner, so that it is the id that is refused."""


def routes() -> Iterator[tuple[str, APIRoute]]:
    """Yields every method and route of the control plane."""
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            for method in sorted(route.methods or ()):
                yield method, route


ALL = [pytest.param(method, route, id=f"{method} {route.path}") for method, route in routes()]
WITH_ID = [param for param in ALL if "{" in param.values[1].path]  # type: ignore[union-attr]


@pytest.mark.parametrize(("method", "route"), ALL)
async def test_nobody_gets_in_without_a_sign_in(platform: Platform, method: str, route: APIRoute) -> None:
    """Except where that is meant."""
    path = re.sub(r"{\w+}", "1", route.path)
    answer = await platform.client().request(method, path, json={})
    if (method, route.path) in OPEN:
        assert answer.status_code != 401 or answer.json()["reason"] != "unauthenticated"
    else:
        assert (answer.status_code, answer.json()["reason"]) == (401, "unauthenticated")


@pytest.mark.parametrize(("method", "route"), WITH_ID)
async def test_what_is_another_s_is_not_found(platform: Platform, ada: User, method: str, route: APIRoute) -> None:
    """Exactly as what does not exist; and the owner still has it, unchanged."""
    ids = await everything_of(platform, ada)
    eve = await platform.signed_up("eve")
    body = BODIES.get(route.path)
    wrong = await eve.http.request(method, route.path.format(**ids), json=body)
    missing = await eve.http.request(
        method, route.path.format(**dict.fromkeys(ids, new_id()) | {"number": 1}), json=body
    )
    assert wrong.status_code == 404
    assert wrong.json() | {"requestId": ""} == missing.json() | {"requestId": ""}
    assert await everything_seen(ada, ids) == ids["seen"]


@pytest.mark.parametrize("path", ["/api/logs/{functionId}/{logId}", "/api/usages/{functionId}/{usageId}"])
async def test_a_function_of_one_s_own_is_no_way_in(platform: Platform, ada: User, path: str) -> None:
    """To what belongs to another's function."""
    ids = await everything_of(platform, ada)
    eve = await platform.signed_up("eve")
    own = await platform.function_of(eve)
    for method in ("GET", "DELETE"):
        assert (await eve.http.request(method, path.format(**ids | {"functionId": own.id}))).status_code == 404
    assert await everything_seen(ada, ids) == ids["seen"]


@pytest.mark.parametrize(("method", "route"), [param for param in ALL if scope_of(param.values[1])])  # type: ignore[arg-type]
async def test_a_key_needs_the_scope_of_the_route(platform: Platform, ada: User, method: str, route: APIRoute) -> None:
    """All the other scopes together don't open it."""
    needed = scope_of(route)
    http = await platform.key_of(ada, *(scope for scope in ALL_SCOPES if scope != needed))
    path = re.sub(r"{\w+}", "1", route.path)
    answer = await http.request(method, path, json={})
    assert (answer.status_code, answer.json()["reason"]) == (403, "scope-missing")


def test_reading_and_changing_need_different_scopes() -> None:
    """A GET needs `read`, or `admin` among administrators; nothing else is open to a key that may only read."""
    for method, route in routes():
        scope = scope_of(route)
        if scope is not None:
            assert (scope == "read") == (method == "GET" and not route.path.startswith("/api/admin"))
            assert scope != "invoke"


async def everything_of(platform: Platform, owner: User) -> dict[str, Any]:
    """Makes one of each thing for an owner, and returns their ids under the names that the paths have."""
    store, function = platform.store, await platform.function_of(owner)
    now = utc_now()
    call = {
        "owner_id": owner.id,
        "function_id": function.id,
        "version": 1,
        "status": "success",
        "start_time": now,
        "end_time": now,
        "duration": 1,
        "memory_used": 1,
    }
    usage = Usage.model_validate(call | {"status_code": 200})
    log = ExecutionLog.model_validate(call | {"execution_id": usage.id})
    build = Build(
        function_id=function.id,
        owner_id=owner.id,
        number=1,
        sequence=1,
        spec=VersionSpec(runtime="node", language="javascript", entry="a.js"),
        source_path="a",
        source_hash="a",
        created_by=owner.id,
    )
    key = ApiKey(owner_id=owner.id, key_hash="hash", hint="hint", scopes=["read"])
    await store.usages.record([usage])
    await store.logs.record([log])
    await store.builds.add(build)
    await store.keys.add(key)
    assert (await owner.http.put(f"/api/functions/{function.id}/secrets/TOKEN", json={"value": "x"})).status_code == 200
    ids: dict[str, Any] = {
        "functionId": function.id,
        "logId": log.id,
        "usageId": usage.id,
        "buildId": build.id,
        "keyId": key.id,
        "name": "TOKEN",
        "number": 1,
    }
    return ids | {"seen": await everything_seen(owner, ids)}


async def everything_seen(owner: User, ids: dict[str, Any]) -> list[Any]:
    """Returns what the owner sees of its things."""
    paths = [
        "/api/functions",
        "/api/functions/{functionId}/secrets",
        "/api/functions/{functionId}/builds",
        "/api/logs/{functionId}/{logId}",
        "/api/usages/{functionId}/{usageId}",
        "/api/keys",
    ]
    return [(await owner.http.get(path.format(**ids))).json() for path in paths]
