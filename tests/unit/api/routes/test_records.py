"""Logs and usage: what is known of calls afterwards."""

from datetime import timedelta

import pytest

from cloudserve.core.models.base import utc_now
from cloudserve.core.models.execution import ExecutionLog, ExecutionStatus, LogLine, Usage
from cloudserve.core.models.function import Function
from tests.unit.api.support import Platform, User


@pytest.fixture
async def function(platform: Platform, ada: User) -> Function:
    """A function that was called three times, once with an error."""
    made = await platform.function_of(ada)
    await record(platform, made, "success", "error", "success")
    return made


async def record(platform: Platform, function: Function, *statuses: ExecutionStatus) -> None:
    """Keeps one call for each status."""
    for status in statuses:
        now = utc_now()
        call = {
            "owner_id": function.owner_id,
            "function_id": function.id,
            "version": 1,
            "status": status,
            "start_time": now,
            "end_time": now + timedelta(milliseconds=12),
            "duration": 12.5,
            "memory_used": 30.25,
        }
        usage = Usage(**call, status_code=200)
        line = LogLine(level="info", message="hello", timestamp=now)
        await platform.store.usages.record([usage])
        await platform.store.logs.record([ExecutionLog(**call, id=usage.id, execution_id=usage.id, logs=[line])])


async def test_logs_come_newest_first_in_pages(ada: User, function: Function) -> None:
    """The cursor continues a page, and the last has none."""
    path = f"/api/logs/{function.id}"
    first = (await ada.http.get(path, params={"limit": 2})).json()
    last = (await ada.http.get(path, params={"limit": 2, "cursor": first["nextCursor"]})).json()
    ids = [log["_id"] for log in first["logs"] + last["logs"]]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 3
    assert last["nextCursor"] is None


async def test_a_log_has_the_fields_that_clients_know(ada: User, function: Function) -> None:
    """Those of the original, and why a call failed."""
    (log, *_) = (await ada.http.get(f"/api/logs/{function.id}")).json()["logs"]
    known = {"_id", "functionId", "executionId", "logs", "status", "startTime", "endTime", "duration", "memoryUsed"}
    assert set(log) == known | {"error", "reason", "version", "truncated", "coldStart", "createdAt"}
    assert set(log["logs"][0]) == {"level", "message", "timestamp"}
    assert (await ada.http.get(f"/api/logs/{function.id}/{log['_id']}")).json() == {"log": log}


async def test_logs_can_be_filtered_and_followed(platform: Platform, ada: User, function: Function) -> None:
    """By how calls ended, and from the last one that was seen."""
    path = f"/api/logs/{function.id}"
    newest = (await ada.http.get(path)).json()["logs"][0]["_id"]
    failed = (await ada.http.get(path, params={"status": "error"})).json()["logs"]
    assert [log["status"] for log in failed] == ["error"]
    assert (await ada.http.get(path, params={"after": newest})).json()["logs"] == []
    await record(platform, function, "timeout")
    assert [log["status"] for log in (await ada.http.get(path, params={"after": newest})).json()["logs"]] == ["timeout"]


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"status": "great"}])
async def test_a_bad_query_names_its_parameter(ada: User, function: Function, query: dict[str, object]) -> None:
    """Its limit and a remedy too."""
    answer = await ada.http.get(f"/api/logs/{function.id}", params=query)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == list(query)


@pytest.mark.parametrize("kind", ["logs", "usages"])
async def test_records_are_deleted_one_by_one_or_all_at_once(ada: User, function: Function, kind: str) -> None:
    """The answer says how many."""
    path = f"/api/{kind}/{function.id}"
    newest = (await ada.http.get(path)).json()[kind][0]["_id"]
    assert (await ada.http.delete(f"{path}/{newest}")).json() == {"deleted": 1}
    assert (await ada.http.delete(f"{path}/{newest}")).status_code == 404
    assert (await ada.http.get(f"{path}/{newest}")).status_code == 404
    assert (await ada.http.delete(path)).json() == {"deleted": 2}
    assert (await ada.http.get(path)).json() == {kind: [], "nextCursor": None}


async def test_the_latest_usage_names_its_functions(platform: Platform, ada: User, function: Function) -> None:
    """At most twenty, of all functions."""
    other = await platform.function_of(ada, "other")
    await record(platform, other, *["success"] * 19)
    usages = (await ada.http.get("/api/usages")).json()["usages"]
    assert len(usages) == 20
    assert usages[0]["functionId"] == {"_id": other.id, "name": "other"}
    assert usages[-1]["functionId"] == {"_id": function.id, "name": "hello"}


async def test_a_usage_record_is_light(ada: User, function: Function) -> None:
    """No line that was printed, only what is counted; and the function's totals follow it."""
    (usage, *_) = (await ada.http.get(f"/api/usages/{function.id}")).json()["usages"]
    assert set(usage) == {
        "_id", "functionId", "version", "status", "statusCode", "startTime", "endTime", "duration", "memoryUsed",
        "cold", "keyId", "createdAt",
    }  # fmt: skip
    assert (await ada.http.get(f"/api/usages/{function.id}/{usage['_id']}")).json() == {"usage": usage}
    stats = (await ada.http.get(f"/api/functions/{function.id}")).json()["function"]["stats"]
    assert (stats["executed"], stats["errors"], stats["avgLatency"]) == (3, 1, 12.5)


async def test_a_key_for_some_functions_sees_their_usage_alone(
    platform: Platform, ada: User, function: Function
) -> None:
    """In the list of all functions too."""
    other = await platform.function_of(ada, "other")
    await record(platform, other, "success")
    http = await platform.key_of(ada, "read", functionIds=[other.id])
    usages = (await http.get("/api/usages")).json()["usages"]
    assert [usage["functionId"]["name"] for usage in usages] == ["other"]
    assert (await http.get(f"/api/logs/{function.id}")).status_code == 404
