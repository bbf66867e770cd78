"""Which version a call reaches, as deploys, pauses, secrets and outages come and go."""

import asyncio
from typing import Any

import pytest

from cloudserve.core.models.base import utc_now
from cloudserve.core.objects.abc import ObjectsUnavailable
from cloudserve.core.store.abc import Unavailable
from cloudserve.gateway import resolve
from cloudserve.gateway.changes import ChangeFeed
from cloudserve.sandbox.abc import Answer, Call, Deployment
from tests.unit.gateway.support import Platform, WholeAnswer, eventually, settled


async def version(deployment: Deployment, _call: Call) -> Answer:
    """Answers with the number of the version."""
    await asyncio.sleep(0.002)
    return WholeAnswer(body=b"%d" % deployment.number)


async def reached(platform: Platform, status: int, body: bytes | None = None) -> None:
    """Returns when a call of alice/hello is answered like this."""
    while True:
        answer = await platform.functions.get("/run/alice/hello")
        if answer.status_code == status and body in (None, answer.content):
            return
        await asyncio.sleep(0.01)


async def test_a_deploy_under_load_fails_no_call_and_mixes_no_answers(platform: Platform) -> None:
    """Each caller sees versions in order; the new one is warm before it is reached, the old one is retired after."""
    function = await platform.function(await platform.owner(), public=True)
    platform.scripted.script = version
    reached_cold: list[int] = []

    async def script(deployment: Deployment, call: Call) -> Answer:
        if deployment.number > 1 and deployment.version_id not in {one.version_id for one in platform.scripted.warmed}:
            reached_cold.append(deployment.number)
        return await version(deployment, call)

    platform.scripted.script = script
    over = asyncio.Event()

    async def caller() -> list[int]:
        seen = []
        while not over.is_set():
            answer = await platform.functions.get("/run/alice/hello")
            assert answer.status_code == 200
            seen.append(int(answer.content))
        return seen

    callers = [asyncio.create_task(caller()) for _ in range(8)]
    for _ in range(3):
        await asyncio.sleep(0.05)
        await platform.deploy(function, f"// {utc_now()}")
        platform.gateway.notify()
        await asyncio.sleep(0.2)
    await reached(platform, 200, b"4")
    over.set()
    for task in callers:
        seen = await task
        assert seen == sorted(seen)
        assert {1, 4} <= set(seen)
    assert reached_cold == []
    live = platform.scripted.warmed[-1]
    await eventually(lambda: platform.scripted.retired[-1:] == [(function.id, live.version_id)])


async def test_a_change_is_seen_without_a_word_within_a_moment(platform: Platform) -> None:
    """The gateway polls: pause, go on, other access, another version, the end of a function."""
    owner = await platform.owner()
    function = await platform.function(owner, public=True)
    platform.scripted.script = version
    await reached(platform, 200, b"1")
    functions = platform.store.functions

    await functions.set_active(owner.id, function.id, False)
    await reached(platform, 503)
    paused = await platform.functions.get("/run/alice/hello")
    assert paused.json()["reason"] == "paused"
    assert "retry-after" in paused.headers
    assert (function.id, None) in platform.scripted.retired

    await platform.deploy(function, "v2")
    await functions.set_active(owner.id, function.id, True)
    await reached(platform, 200, b"2")

    await functions.set_access(owner.id, function.id, auth="key", cors=None)
    await reached(platform, 401)
    await functions.set_access(owner.id, function.id, auth="public", cors=None)
    await reached(platform, 200)

    await functions.delete(owner.id, function.id)
    await reached(platform, 404)


async def test_a_pause_waits_for_no_worker(platform: Platform) -> None:
    """A version that takes long to warm up does not hold it up, nor does the old version serve on."""
    owner = await platform.owner()
    function = await platform.function(owner, public=True)
    await reached(platform, 200)
    begun = asyncio.Event()

    async def slowly(_deployment: Deployment) -> None:
        begun.set()
        await asyncio.sleep(60)

    platform.scripted.warming = slowly
    await platform.deploy(function, "v2")
    await begun.wait()
    await platform.store.functions.set_active(owner.id, function.id, False)
    async with asyncio.timeout(5):
        await reached(platform, 503)


async def test_what_is_not_there_yet_is_found_when_it_is(platform: Platform) -> None:
    """A name that nobody has is remembered as such, until somebody takes it."""
    await reached(platform, 404)
    owner = await platform.owner()
    await reached(platform, 404)
    function = await platform.function(owner, public=True, live=False)
    await reached(platform, 503)
    assert (await platform.functions.get("/run/alice/hello")).json()["reason"] == "not-deployed"
    await platform.deploy(function)
    await reached(platform, 200)


async def test_status_of_a_deploy_changes_nothing_that_is_served(platform: Platform) -> None:
    """A failed deploy leaves the live version serving."""
    owner = await platform.owner()
    function = await platform.function(owner, public=True)
    await platform.store.functions.set_status(owner.id, function.id, "failed", sequence=9, error="no")
    await reached(platform, 200)


async def test_environment_and_secrets_reach_the_function_and_a_new_secret_means_new_workers(
    platform: Platform,
) -> None:
    """Secrets win over plain values of the same name, and are in no repr."""
    owner = await platform.owner()
    function = await platform.function(owner, public=True, live=False)
    await platform.secret(function, "TOKEN", "first-secret")
    await platform.deploy(function, environment={"PLAIN": "1", "TOKEN": "plain"}, secrets=["TOKEN"])
    await reached(platform, 200)
    before = platform.scripted.calls[-1][0]
    assert before.environment == {"PLAIN": "1", "TOKEN": "first-secret"}
    assert "first-secret" not in repr(before)

    await platform.secret(function, "TOKEN", "second-secret")
    await eventually(lambda: platform.scripted.warmed and platform.scripted.warmed[-1].version_id != before.version_id)
    await reached(platform, 200)
    after = platform.scripted.calls[-1][0]
    assert after.environment["TOKEN"] == "second-secret"
    assert after.number == before.number
    assert (function.id, after.version_id) in platform.scripted.retired


async def test_a_fresh_deploy_is_warm_before_its_first_call(platform: Platform) -> None:
    """Nobody has to call a function for the gateway to see to it."""
    function = await platform.function(await platform.owner(), public=True)
    await eventually(lambda: platform.scripted.warmed)
    assert platform.scripted.warmed[0].function_id == function.id
    assert platform.scripted.calls == []


async def test_prewarm_returns_when_the_live_version_is_reached(platform: Platform) -> None:
    """Right after it, a call gets the new version."""
    function = await platform.function(await platform.owner(), public=True)
    platform.scripted.script = version
    for number in (2, 3):
        await platform.deploy(function, f"v{number}")
        await platform.gateway.prewarm(function)
        assert (await platform.functions.get("/run/alice/hello")).content == b"%d" % number


async def test_functions_that_keep_workers_warm_are_warmed_at_the_start(platform: Platform) -> None:
    """`min_warm` holds after a restart without a call."""
    owner = await platform.owner()
    kept = await platform.function(owner, "kept", live=False)
    await platform.deploy(kept, limits={"min_warm": 1})
    await platform.function(owner, "other")
    await eventually(lambda: len(platform.scripted.warmed) >= 2)
    platform.scripted.warmed.clear()
    await platform.gateway._resolver.warm_kept()
    assert [deployment.function_id for deployment in platform.scripted.warmed] == [kept.id]


async def test_a_new_key_and_an_ended_one_are_seen_within_a_moment(platform: Platform) -> None:
    """Also a key that was refused a moment before it was made."""
    owner = await platform.owner()
    await platform.function(owner)
    key = await platform.key(owner)
    [row] = await platform.store.keys.list(owner.id)

    async def answered(status: int) -> None:
        while (await platform.functions.get("/run/alice/hello", headers={"api-key": key})).status_code != status:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    await answered(200)
    await platform.store.keys.delete(owner.id, row.id)
    await answered(401)
    await platform.store.keys.add(row)
    await answered(200)


class Outage:
    """A store that is away for as long as `away` is set."""

    def __init__(self, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
        self.away = False
        store = platform.store
        for thing, name in (
            (store, "changes"),
            (store.owners, "by_name"),
            (store.owners, "get"),
            (store.functions, "get"),
            (store.keys, "by_hash"),
        ):
            monkeypatch.setattr(thing, name, self._breaking(getattr(thing, name)))

    def _breaking(self, method: Any) -> Any:
        async def broken(*args: Any, **kwargs: Any) -> Any:
            if self.away:
                raise Unavailable("gone")
            return await method(*args, **kwargs)

        return broken


async def test_while_the_store_is_away_what_is_known_goes_on(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not known can't be told: 503, and fine again once the store is back."""
    owner = await platform.owner()
    await platform.function(owner)
    await platform.function(owner, "unseen", public=True)
    known, unseen = await platform.key(owner), await platform.key(owner)
    outage = Outage(platform, monkeypatch)
    await settled(platform)
    assert (await platform.functions.get("/run/alice/hello", headers={"api-key": known})).status_code == 200

    outage.away = True
    assert (await platform.functions.get("/run/alice/hello", headers={"api-key": known})).status_code == 200
    for path, key in (("/run/alice/hello", unseen), ("/run/alice/nobody", known)):
        refused = await platform.functions.get(path, headers={"api-key": key})
        assert (refused.status_code, refused.json()["reason"]) == (503, "unavailable")
        assert "retry-after" in refused.headers

    outage.away = False
    assert (await platform.functions.get("/run/alice/hello", headers={"api-key": unseen})).status_code == 200


async def test_after_too_long_an_outage_nothing_stale_is_served(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that was ended meanwhile must not open anything for ever."""
    owner = await platform.owner()
    await platform.function(owner)
    key = await platform.key(owner)
    outage = Outage(platform, monkeypatch)
    await settled(platform)
    assert (await platform.functions.get("/run/alice/hello", headers={"api-key": key})).status_code == 200
    outage.away = True
    feed: ChangeFeed = platform.gateway._feed
    feed.tolerance_seconds = 0.7
    await eventually(lambda: not feed.fresh)
    refused = await platform.functions.get("/run/alice/hello", headers={"api-key": key})
    assert (refused.status_code, refused.json()["reason"]) == (503, "unavailable")
    outage.away = False
    await eventually(lambda: feed.fresh)
    assert (await platform.functions.get("/run/alice/hello", headers={"api-key": key})).status_code == 200


async def test_the_feed_goes_on_whatever_goes_wrong_in_a_poll(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of a backend must not leave this gateway stale until somebody starts it again."""
    function = await platform.function(await platform.owner(), public=True)
    platform.scripted.script = version
    await reached(platform, 200, b"1")
    failed = asyncio.Event()

    async def broken(_after: int) -> None:
        failed.set()
        raise RuntimeError("a fault of the driver")

    with monkeypatch.context() as fault:
        fault.setattr(platform.store, "changes", broken)
        await failed.wait()
    await platform.deploy(function, "v2")
    await reached(platform, 200, b"2")


async def test_a_change_during_an_outage_is_taken_up_after_it(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old version serves until then."""
    function = await platform.function(await platform.owner(), public=True)
    platform.scripted.script = version
    await reached(platform, 200, b"1")
    outage = Outage(platform, monkeypatch)
    await platform.deploy(function, "v2")
    outage.away = True
    await asyncio.sleep(0.7)
    await reached(platform, 200, b"1")
    outage.away = False
    await reached(platform, 200, b"2")


async def test_a_bundle_that_can_t_be_had_is_told_apart_from_a_store_that_is_away(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is on this host already is served all the same."""
    owner = await platform.owner()
    for name in ("cached", "unseen"):
        await platform.deploy(await platform.function(owner, name, public=True, live=False), source=name)
    await settled(platform)
    resolver = platform.gateway._resolver
    await eventually(lambda: not resolver._refreshes)
    deployment = resolver._routes["alice", "cached"].deployment
    assert deployment is not None
    await platform.gateway._trees.keep_only([deployment.code.name])
    for name in ("cached", "unseen"):
        resolver._drop(("alice", name))

    async def away(*_values: object, **_more: object) -> None:
        raise ObjectsUnavailable("gone")

    with monkeypatch.context() as outage:
        outage.setattr(platform.objects, "fetch", away)
        refused = await platform.functions.get("/run/alice/unseen")
        assert (refused.status_code, refused.json()["reason"]) == (503, "unavailable")
        assert "bundle" in refused.json()["message"]
        assert "object store" in refused.json()["message"]
        assert (await platform.functions.get("/run/alice/cached")).status_code == 200
    assert (await platform.functions.get("/run/alice/unseen")).status_code == 200


async def test_a_pause_does_not_wait_for_a_bundle_that_can_t_be_had(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor for the next try to fetch it."""
    function = await platform.function(await platform.owner(), public=True)
    platform.scripted.script = version
    await reached(platform, 200, b"1")
    fetched = asyncio.Event()

    async def away(*_values: object, **_more: object) -> None:
        fetched.set()
        raise ObjectsUnavailable("gone")

    monkeypatch.setattr(platform.objects, "fetch", away)
    monkeypatch.setattr(resolve, "RETRY_SECONDS", 60)
    monkeypatch.setattr(resolve, "LONGEST_RETRY_SECONDS", 60)
    await platform.deploy(function, "v2")
    await fetched.wait()
    await reached(platform, 200, b"1")
    await platform.store.functions.set_active(function.owner_id, function.id, active=False)
    await reached(platform, 503)


async def test_a_function_to_keep_warm_is_warmed_when_what_was_away_is_back(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the stores that was; another that can't be loaded keeps none from it."""
    monkeypatch.setattr(resolve, "LONGEST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(resolve, "_WARM_AGAIN_SECONDS", 0.01)
    owner = await platform.owner()
    kept = await platform.function(owner, "kept", live=False)
    await platform.deploy(kept, limits={"min_warm": 1})
    await settled(platform)
    resolver = platform.gateway._resolver
    await eventually(lambda: not resolver._refreshes)
    resolver._drop(("alice", "kept"))
    await platform.gateway._trees.keep_only([])
    platform.scripted.warmed.clear()
    tries = []

    def away_twice(method: Any, error: Exception) -> Any:
        async def call(*arguments: Any, **more: Any) -> Any:
            tries.append(error)
            if tries.count(error) <= 2:
                raise error
            return await method(*arguments, **more)

        return call

    monkeypatch.setattr(platform.store.owners, "list", away_twice(platform.store.owners.list, Unavailable("gone")))
    monkeypatch.setattr(platform.objects, "fetch", away_twice(platform.objects.fetch, ObjectsUnavailable("gone")))
    await resolver.warm_kept()
    assert [deployment.function_id for deployment in platform.scripted.warmed] == [kept.id]


async def test_the_memory_of_what_does_not_exist_is_bounded(platform: Platform) -> None:
    """Made-up names and keys push each other out."""
    resolver, keys = platform.gateway._resolver, platform.gateway._keys
    resolver._most_missing = keys._most_unknown = 5
    await platform.function(await platform.owner())
    for number in range(12):
        await platform.functions.get(f"/run/alice/made-up-{number}")
        await platform.functions.get("/run/alice/hello", headers={"api-key": f"csk_{number}"})
    assert len(resolver._missing) <= 5
    assert len(keys._unknown) <= 5


async def test_a_name_that_nothing_can_have_is_kept_nowhere(platform: Platform) -> None:
    """Nor is the store asked for it."""
    for path in (f"/run/{'a' * 101}/hello", f"/run/alice/{'a' * 60_000}"):
        assert (await platform.functions.get(path)).status_code == 404
    assert not platform.gateway._resolver._missing
