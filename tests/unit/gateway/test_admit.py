"""Who may call a function, and what everyone else is told."""

from datetime import timedelta

import pytest

from cloudserve.core.models.base import utc_now
from tests.unit.gateway.support import Platform, ScriptedSandbox, running


@pytest.mark.parametrize(
    "headers",
    [
        lambda key: {"api-key": key},
        lambda key: {"x-api-key": key},
        lambda key: {"Authorization": f"Bearer {key}"},
        lambda key: {"api-key": "other", "Authorization": f"bearer  {key}"},
    ],
)
async def test_a_key_is_taken_from_each_of_its_headers(platform: Platform, headers: object) -> None:
    """`api-key`, `x-api-key` and a bearer token are alike."""
    owner = await platform.owner()
    await platform.function(owner)
    key = await platform.key(owner)
    answer = await platform.functions.get("/run/alice/hello", headers=headers(key))  # type: ignore[operator]
    assert answer.status_code == 200


async def test_a_call_without_a_key_is_a_401_that_says_how_to_send_one(platform: Platform) -> None:
    """The answer is a problem with everything a client needs."""
    await platform.function(await platform.owner())
    answer = await platform.functions.get("/run/alice/hello")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"
    problem = answer.json()
    assert (problem["component"], problem["reason"]) == ("gateway", "no-key")
    assert "api-key" in problem["message"]
    assert problem["requestId"] == answer.headers["x-cloudserve-execution-id"]
    assert platform.scripted.calls == []


@pytest.mark.parametrize("text", ["csk_" + "k" * 43, "nonsense", "css_" + "s" * 43])
async def test_an_unknown_key_is_a_401(platform: Platform, text: str) -> None:
    """So is a session's token: it opens no function."""
    await platform.function(await platform.owner())
    answer = await platform.functions.get("/run/alice/hello", headers={"api-key": text})
    assert (answer.status_code, answer.json()["reason"]) == (401, "unknown-key")


async def test_an_expired_key_is_a_401_and_one_that_lasts_is_not(platform: Platform) -> None:
    """The clock is looked at in each call."""
    owner = await platform.owner()
    await platform.function(owner)
    over = await platform.key(owner, expires_at=utc_now() - timedelta(seconds=1))
    good = await platform.key(owner, expires_at=utc_now() + timedelta(hours=1))
    assert (await platform.functions.get("/run/alice/hello", headers={"api-key": over})).status_code == 401
    assert (await platform.functions.get("/run/alice/hello", headers={"api-key": good})).status_code == 200


async def test_anothers_function_is_a_404_like_one_that_does_not_exist(platform: Platform) -> None:
    """Nobody learns with a key of their own what others have."""
    await platform.function(await platform.owner("alice"))
    key = await platform.key(await platform.owner("bob"))
    there = await platform.functions.get("/run/alice/hello", headers={"api-key": key})
    nowhere = await platform.functions.get("/run/alice/other", headers={"api-key": key})
    assert there.status_code == nowhere.status_code == 404
    assert there.json()["reason"] == nowhere.json()["reason"] == "not-found"
    assert there.json()["message"].replace("hello", "other") == nowhere.json()["message"]


async def test_a_key_without_the_right_is_a_403(platform: Platform) -> None:
    """One that lacks the scope, and one that is for other functions; one for this function is good."""
    owner = await platform.owner()
    function = await platform.function(owner)
    reader = await platform.key(owner, scopes=("read", "deploy"))
    elsewhere = await platform.key(owner, function_ids=["0" * 26])
    here = await platform.key(owner, scopes=("invoke",), function_ids=[function.id])
    answers = [
        await platform.functions.get("/run/alice/hello", headers={"api-key": key}) for key in (reader, elsewhere, here)
    ]
    assert [answer.status_code for answer in answers] == [403, 403, 200]
    assert [answer.json()["reason"] for answer in answers[:2]] == ["missing-scope", "other-function"]


async def test_a_public_function_takes_everyone(platform: Platform) -> None:
    """Without a key, with a key of another, and with one that is not known."""
    await platform.function(await platform.owner(), public=True)
    stranger = await platform.key(await platform.owner("bob"))
    for headers in ({}, {"api-key": stranger}, {"api-key": "nonsense"}):
        assert (await platform.functions.get("/run/alice/hello", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "path", ["/run/alice/nothing", "/run/nobody/hello", "/run/alice", "/run/alice/", "/run/", "/run"]
)
async def test_what_leads_nowhere_is_a_404(platform: Platform, path: str) -> None:
    """Names that nobody has, and paths that are too short."""
    await platform.function(await platform.owner(), public=True)
    assert (await platform.functions.get(path)).status_code == 404


async def test_calls_over_the_rate_are_a_429_with_a_time_to_wait(tmp_path: object) -> None:
    """The burst passes, the next call does not; one key's limit counts for its owner too."""
    async with running(tmp_path, ScriptedSandbox(), rate_per_second=0.01, rate_burst=3) as platform:  # type: ignore[arg-type]
        owner = await platform.owner()
        await platform.function(owner)
        keys = [await platform.key(owner), await platform.key(owner)]
        answers = [
            await platform.functions.get("/run/alice/hello", headers={"api-key": keys[number % 2]})
            for number in range(4)
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[3].json()["reason"] == "rate-limited"
        assert 1 <= int(answers[3].headers["retry-after"]) <= 100


async def test_the_last_use_of_a_key_is_kept(platform: Platform) -> None:
    """It is written behind the calls, at the latest when the gateway closes."""
    owner = await platform.owner()
    await platform.function(owner)
    key = await platform.key(owner)
    await platform.functions.get("/run/alice/hello", headers={"api-key": key})
    await platform.gateway.close()
    [row] = await platform.store.keys.list(owner.id)
    assert row.last_used_at is not None
