"""A call from its request to its answer, over real servers."""

import asyncio

from cloudserve.core.ids import is_id
from cloudserve.sandbox.abc import Answer, Call, ColdStart, Deployment, LogEntry, Outcome
from tests.unit.gateway.support import HELLO, Platform, WholeAnswer


async def test_a_call_with_a_key_is_answered_by_the_function(platform: Platform) -> None:
    """The function gets the call as it was sent; the caller gets the answer and the execution's id."""
    owner = await platform.owner()
    await platform.function(owner)
    key = await platform.key(owner)

    answer = await platform.functions.post("/run/alice/hello/a/b?x=1&y", headers={"api-key": key}, content=b"body")

    assert (answer.status_code, answer.content) == (200, HELLO)
    [(deployment, call)] = platform.scripted.calls
    assert (call.method, call.path, call.query, call.body) == ("POST", "/a/b", b"x=1&y", b"body")
    assert call.client == "127.0.0.1"
    assert call.base_url == "http://127.0.0.1:7701/run/alice/hello"
    assert (deployment.code / deployment.entry).read_text() == "exports.handler = 1"
    assert is_id(answer.headers["x-cloudserve-execution-id"])
    assert answer.headers["x-cloudserve-execution-id"] == call.execution_id


async def test_a_call_leaves_a_usage_record_and_a_log(platform: Platform) -> None:
    """Both are under the execution's id, with what the sandbox told."""
    owner = await platform.owner()
    function = await platform.function(owner)
    key = await platform.key(owner)
    outcome = Outcome(
        "success",
        duration_ms=12.5,
        memory_mb=33,
        logs=[LogEntry(1_700_000_000.25, "warn", "careful")],
        cold=ColdStart(1, 2, 3, [("big", 2.5)]),
    )

    async def script(_deployment: Deployment, _call: Call) -> Answer:
        return WholeAnswer(201, outcome=outcome)

    platform.scripted.script = script
    answer = await platform.functions.get("/run/alice/hello", headers={"Authorization": f"Bearer {key}"})
    [usage], [log] = await platform.records(function)

    assert usage.id == log.id == log.execution_id == answer.headers["x-cloudserve-execution-id"]
    assert (usage.status, usage.status_code, usage.duration, usage.memory_used) == ("success", 201, 12.5, 33)
    assert (usage.version, usage.cold) == (1, True)
    assert usage.key_id == (await platform.store.keys.list(owner.id))[0].id
    assert [(line.level, line.message, line.timestamp.timestamp()) for line in log.logs] == [
        ("warn", "careful", 1_700_000_000.25)
    ]
    assert log.cold_start == {"spawnMs": 1, "wallsMs": 2, "loadMs": 3, "imports": [["big", 2.5]], "handlerMs": 12.5}
    assert answer.headers["server-timing"] == (
        'cold;dur=6.0, spawn;dur=1.0, walls;dur=2.0, load;dur=3.0, import;desc="big";dur=2.5, handler;dur=12.5'
    )


async def test_many_first_calls_load_a_function_once(platform: Platform) -> None:
    """Single flight: twenty callers of a function that nobody called before read its bundle once."""
    reads = 0
    fetch = platform.objects.fetch

    async def counted(*args: object, **kwargs: object) -> object:
        nonlocal reads
        reads += 1
        return await fetch(*args, **kwargs)  # type: ignore[arg-type]

    platform.objects.fetch = counted  # type: ignore[method-assign,assignment]
    owner = await platform.owner()
    key = await platform.key(owner)
    await platform.function(owner)
    calls = [platform.functions.get("/run/alice/hello", headers={"api-key": key}) for _ in range(20)]
    assert {answer.status_code for answer in await asyncio.gather(*calls)} == {200}
    assert reads == 1
