"""Bodies of requests: small ones whole, large ones in parts, none over the limit."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloudserve.sandbox.abc import Answer, Call, Deployment
from tests.unit.gateway.support import Platform, ScriptedSandbox, WholeAnswer, running

MEBIBYTE = 1024 * 1024


async def echo(_deployment: Deployment, call: Call) -> Answer:
    """Answers with how the body came, and the body."""
    if isinstance(call.body, bytes):
        return WholeAnswer(headers=[(b"x-came", b"whole")], body=call.body)
    parts = [part async for part in call.body]
    return WholeAnswer(headers=[(b"x-came", b"parts")], body=b"".join(parts))


@pytest.fixture
async def echoing(platform: Platform) -> Platform:
    """A public function that echoes."""
    await platform.function(await platform.owner(), public=True)
    platform.scripted.script = echo
    return platform


@pytest.mark.parametrize(
    ("size", "came"), [(0, "whole"), (1, "whole"), (200_000, "whole"), (300_000, "parts"), (9 * MEBIBYTE, "parts")]
)
async def test_a_body_arrives_byte_for_byte(echoing: Platform, size: int, came: str) -> None:
    """Whole while it is small; in parts, and never held as a whole, when it is large."""
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    answer = await echoing.functions.post("/run/alice/hello", content=content)
    assert answer.content == content
    assert answer.headers["x-came"] == came


async def test_a_chunked_body_arrives_byte_for_byte(echoing: Platform) -> None:
    """Its length is not known before its end."""

    async def parts() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d" % number * 1000
            await asyncio.sleep(0.01)

    answer = await echoing.functions.post("/run/alice/hello", content=parts())
    assert answer.content == b"".join(b"%d" % number * 1000 for number in range(5))


async def test_a_body_over_the_limit_is_refused_before_the_function_is_called(tmp_path: Path) -> None:
    """The 413 names the limit."""
    async with running(tmp_path, ScriptedSandbox(), max_body_mb=1) as platform:
        await platform.function(await platform.owner(), public=True)
        answer = await platform.functions.post("/run/alice/hello", content=b"x" * (MEBIBYTE + 1))
        assert answer.status_code == 413
        assert answer.json()["reason"] == "body-too-large"
        assert "1 MiB" in answer.json()["message"]
        assert platform.scripted.calls == []
        at_the_limit = await platform.functions.post("/run/alice/hello", content=b"x" * MEBIBYTE)
        assert at_the_limit.status_code == 200


async def test_a_chunked_body_over_the_limit_is_refused_when_it_has_become_too_large(tmp_path: Path) -> None:
    """Nobody has to say how much they send; the function is not called."""
    async with running(tmp_path, ScriptedSandbox(), max_body_mb=1) as platform:
        await platform.function(await platform.owner(), public=True)
        platform.scripted.script = echo

        async def parts() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b"x" * 100_000

        answer = await platform.functions.post("/run/alice/hello", content=parts())
        assert (answer.status_code, answer.json()["reason"]) == (413, "body-too-large")
        assert platform.scripted.calls == []


async def test_a_caller_who_stalls_keeps_no_worker_busy(echoing: Platform) -> None:
    """The function is called when its request is complete."""
    resume = asyncio.Event()

    async def parts() -> AsyncIterator[bytes]:
        yield b"x" * MEBIBYTE
        await resume.wait()
        yield b"y"

    stalled = asyncio.create_task(echoing.functions.post("/run/alice/hello", content=parts()))
    answer = await echoing.functions.post("/run/alice/hello", content=b"small")
    assert answer.content == b"small"
    assert len(echoing.scripted.calls) == 1
    resume.set()
    assert (await stalled).content == b"x" * MEBIBYTE + b"y"
