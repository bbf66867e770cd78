"""Look-ups: shared, bounded in time and in number."""

import asyncio

import pytest

from cloudserve.core.errors import Problem
from cloudserve.core.store.abc import Unavailable
from cloudserve.gateway import lookups
from cloudserve.gateway.lookups import Lookups
from tests.unit.gateway.support import eventually


class Source:
    """Answers with the key in capitals, when it may."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may_answer = asyncio.Event()

    async def look_up(self, key: str) -> str:
        """Answers, or fails for the key `bad`."""
        self.asked.append(key)
        await self.may_answer.wait()
        if key == "bad":
            raise ValueError(key)
        return key.upper()


async def test_callers_who_ask_for_the_same_share_one_look_up() -> None:
    """And get its answer, or its failure; the next one asks anew."""
    source = Source()
    names = Lookups(source.look_up, asked="the store", away=lambda: False)
    good = [asyncio.create_task(names.find("good")) for _ in range(5)]
    bad = [asyncio.create_task(names.find("bad")) for _ in range(5)]
    await eventually(lambda: source.asked == ["good", "bad"])
    source.may_answer.set()
    assert await asyncio.gather(*good) == ["GOOD"] * 5
    failures = await asyncio.gather(*bad, return_exceptions=True)
    assert [type(failure) for failure in failures] == [ValueError] * 5
    assert await names.find("good") == "GOOD"
    assert source.asked == ["good", "bad", "good"]


async def test_a_caller_who_goes_away_ends_the_look_up_for_nobody_else() -> None:
    """Also the one who began it."""
    source = Source()
    names = Lookups(source.look_up, asked="the store", away=lambda: False)
    first, second = (asyncio.create_task(names.find("key")) for _ in range(2))
    await eventually(lambda: names._waiting == 2)
    first.cancel()
    await eventually(lambda: names._waiting == 1)
    source.may_answer.set()
    assert await second == "KEY"


async def test_a_look_up_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its callers are told whom they waited for, and when to come again."""
    monkeypatch.setattr(lookups, "PATIENCE_SECONDS", 0.05)
    source = Source()
    names = Lookups(source.look_up, asked="the store", away=lambda: False)
    with pytest.raises(Problem, match="no answer from the store") as raised:
        await names.find("key")
    assert (raised.value.status, raised.value.reason) == (503, "unavailable")
    assert "Retry-After" in raised.value.headers
    assert not names._under_way


async def test_whoever_comes_when_too_many_wait_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether they wait for the same thing or each for another; when the others are through, all is well again."""
    monkeypatch.setattr(lookups, "MOST", 4)
    source = Source()
    names = Lookups(source.look_up, asked="the store", away=lambda: False)
    waiting = [asyncio.create_task(names.find(key)) for key in ("a", "a", "b", "c")]
    await eventually(lambda: names._waiting == 4)
    for key in ("a", "d"):
        with pytest.raises(Problem, match="Too many calls wait for the store") as raised:
            await names.find(key)
        assert (raised.value.status, raised.value.reason) == (503, "unavailable")
    source.may_answer.set()
    await asyncio.gather(*waiting)
    assert await names.find("d") == "D"


async def test_while_the_store_is_known_to_be_away_nobody_waits_for_it() -> None:
    """Nor is it asked."""
    source = Source()
    names = Lookups(source.look_up, asked="the store", away=lambda: True)
    with pytest.raises(Unavailable):
        await names.find("key")
    assert not source.asked


async def test_closing_ends_what_is_under_way() -> None:
    """And leaves no task."""
    source = Source()
    names = Lookups(source.look_up, asked="the store", away=lambda: False)
    caller = asyncio.create_task(names.find("key"))
    await eventually(lambda: source.asked)
    await names.close()
    assert not names._under_way
    with pytest.raises(asyncio.CancelledError):
        await caller
