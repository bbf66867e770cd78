"""What a warm call touches: memory, its worker and the spool; neither the store nor the objects."""

import asyncio
from typing import Any

import pytest

from cloudserve.core.objects.abc import Objects
from cloudserve.core.store import abc
from tests.unit.gateway.support import HELLO, Platform, settled

COLLECTIONS = ("owners", "keys", "sessions", "codes", "functions", "versions", "builds", "secrets", "usages", "logs")
BEHIND_THE_CALLS = {"gateway-changes", "gateway-keys", "gateway-delivery"}


async def test_a_warm_call_touches_neither_store_nor_objects(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every method of both raises, but for the tasks that work behind the calls.

    The calls are answered with a key, limits, a body, a usage record and a log all the same.
    """
    owner = await platform.owner()
    function = await platform.function(owner)
    headers = {"Authorization": f"Bearer {await platform.key(owner)}"}
    await settled(platform)
    assert (await platform.functions.get("/run/alice/hello", headers=headers)).status_code == 200
    touched: list[str] = []

    def forbid(patch: pytest.MonkeyPatch, thing: object, contract: type[Any]) -> None:
        for name in contract.__abstractmethods__:
            method = getattr(thing, name)

            def touch(*args: Any, _name: str = name, _method: Any = method, **kwargs: Any) -> Any:
                task = asyncio.current_task()
                if task is None or task.get_name() not in BEHIND_THE_CALLS:
                    touched.append(_name)
                    raise AssertionError(_name)
                return _method(*args, **kwargs)

            patch.setattr(thing, name, touch)

    with monkeypatch.context() as patch:
        forbid(patch, platform.store, abc.Store)
        forbid(patch, platform.objects, Objects)
        for collection in COLLECTIONS:
            forbid(patch, getattr(platform.store, collection), getattr(abc, collection.capitalize()))
        calls = [
            platform.functions.post("/run/alice/hello/path", headers=headers, content=b"x" * 1_000) for _ in range(50)
        ]
        answers = await asyncio.gather(*calls)
    assert {answer.content for answer in answers} == {HELLO}
    assert touched == []
    usages, logs = await platform.records(function, 51)
    assert len(usages) == len(logs) == 51
