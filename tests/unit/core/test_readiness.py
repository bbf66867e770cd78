"""What is said of a need that is asked for itself."""

import asyncio

import pytest

from cloudserve.core import readiness
from cloudserve.core.readiness import OK, ask


async def test_a_need_that_answers_is_ok() -> None:
    """Whatever it answers."""
    assert await ask(asyncio.sleep(0)) == OK


async def test_a_need_that_fails_is_told_without_details() -> None:
    """Strangers may read it."""

    async def away() -> None:
        raise ConnectionError("db.internal:27017")

    assert await ask(away()) == "ConnectionError"


async def test_a_need_that_is_slow_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe has to answer soon."""
    monkeypatch.setattr(readiness, "ASK_SECONDS", 0.01)
    assert (await ask(asyncio.Event().wait())).startswith("no answer within")  # type: ignore[arg-type] # never returns
