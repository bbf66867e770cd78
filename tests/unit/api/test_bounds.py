"""A request takes so long and no longer, and only so many are served at once."""

import asyncio
from typing import Any

import pytest

from cloudserve.api import bounds
from tests.unit.api.support import Platform, User


class SlowStore:
    """Lists functions when it may."""

    def __init__(self, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()
        self._list = platform.store.functions.list
        monkeypatch.setattr(platform.store.functions, "list", self.list)

    async def list(self, owner_id: str) -> Any:
        """Waits."""
        self.asked += 1
        await self.may_answer.wait()
        return await self._list(owner_id)


@pytest.fixture
def slow(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> SlowStore:
    """A store that answers when the test says so."""
    return SlowStore(platform, monkeypatch)


async def test_a_request_that_takes_too_long_is_a_503(
    ada: User, slow: SlowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the time after which to try again; when the store is fast again, all is well."""
    monkeypatch.setattr(bounds, "REQUEST_SECONDS", 0.05)
    answer = await ada.http.get("/api/functions")
    assert (answer.status_code, answer.json()["reason"], answer.headers["retry-after"]) == (503, "slow", "5")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["requestId"] == answer.headers["x-request-id"]
    monkeypatch.undo()
    assert (await ada.http.get("/api/functions")).status_code == 200


async def test_an_upload_may_take_longer(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as a build may, since what the code imports is counted in it."""
    monkeypatch.setattr(bounds, "REQUEST_SECONDS", 0.3)
    service = "cloudserve.api.build.builder.Builder.check"

    async def check(*_arguments: object) -> None:
        await asyncio.sleep(0.5)

    monkeypatch.setattr(service, check)
    body = {"name": "hello", "code": "module.exports = 1", "filename": "index.js"}
    assert (await ada.http.post("/api/functions/deploy", json=body)).status_code == 202


async def test_no_more_than_so_many_requests_are_served_at_once(
    platform: Platform, ada: User, slow: SlowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one is refused at once; probes are not, and nobody is when the others are through."""
    monkeypatch.setattr(bounds, "MOST_REQUESTS", 3)
    waiting = [asyncio.create_task(ada.http.get("/api/functions")) for _ in range(3)]
    while slow.asked < 3:  # noqa: ASYNC110 - polls what has no event
        await asyncio.sleep(0.01)
    refused = await ada.http.get("/api/auth/me")
    assert (refused.status_code, refused.json()["reason"], refused.headers["retry-after"]) == (503, "overloaded", "5")
    for probe in ("/healthz", "/readyz"):
        assert (await platform.client().get(probe)).status_code == 200
    slow.may_answer.set()
    assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200] * 3
    assert (await ada.http.get("/api/auth/me")).status_code == 200
