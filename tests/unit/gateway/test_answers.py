"""Answers: whole and streamed, in every method, broken off by either side."""

import asyncio
import socket
from collections.abc import AsyncIterator

import httpx2
import pytest

from cloudserve.sandbox.abc import Answer, Call, Deployment
from tests.unit.gateway.support import Platform, StreamedAnswer, WholeAnswer, failure


@pytest.fixture
async def public(platform: Platform) -> Platform:
    """A platform with the public function alice/hello."""
    await platform.function(await platform.owner(), public=True)
    return platform


def answering(answer: Answer) -> object:
    """Returns a script that gives this answer."""

    async def script(_deployment: Deployment, _call: Call) -> Answer:
        return answer

    return script


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
async def test_every_method_reaches_the_function(public: Platform, method: str) -> None:
    """Known ones and others."""
    answer = await public.functions.request(method, "/run/alice/hello")
    assert answer.status_code == 200
    assert public.scripted.calls[0][1].method == method


async def test_head_has_the_headers_of_get_and_no_body(public: Platform) -> None:
    """Also when the function answers with a body, whole or in parts."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"12345"

    for answer in (WholeAnswer(body=b"12345"), StreamedAnswer(parts(), headers=[(b"content-length", b"5")])):
        public.scripted.script = answering(answer)  # type: ignore[assignment]
        got = await public.functions.head("/run/alice/hello")
        assert (got.status_code, got.content, got.headers["content-length"]) == (200, b"", "5")


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_has_none(public: Platform, status: int) -> None:
    """Whatever the function returned with it, and the connection stays good."""
    public.scripted.script = answering(WholeAnswer(status, body=b"surprise"))  # type: ignore[assignment]
    for _ in range(2):
        answer = await public.functions.get("/run/alice/hello")
        assert (answer.status_code, answer.content) == (status, b"")


async def test_a_stream_arrives_as_it_is_made(public: Platform) -> None:
    """The first part is here before the second exists."""
    gate = asyncio.Event()

    async def parts() -> AsyncIterator[bytes]:
        yield b"one"
        await gate.wait()
        yield b"two"

    public.scripted.script = answering(StreamedAnswer(parts(), 201))  # type: ignore[assignment]
    async with public.functions.stream("GET", "/run/alice/hello") as answer:
        assert answer.status_code == 201
        received = answer.aiter_raw()
        assert await anext(received) == b"one"
        gate.set()
        assert await anext(received) == b"two"


async def test_a_slow_reader_holds_the_function_back(public: Platform) -> None:
    """No more of a stream is taken from the function than buffers on the way hold."""
    made = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal made
        for _ in range(1_000):
            made += 1
            yield b"x" * 100_000

    public.scripted.script = answering(StreamedAnswer(parts()))  # type: ignore[assignment]
    with socket.create_connection(("127.0.0.1", public.functions.base_url.port)) as raw:  # type: ignore[arg-type]
        raw.sendall(b"GET /run/alice/hello HTTP/1.1\r\nHost: x\r\n\r\n")
        before = -1
        while made != before or made == 0:
            before = made
            await asyncio.sleep(0.2)
        assert made < 500


async def test_a_stream_that_fails_ends_the_connection_without_the_end_of_the_body(public: Platform) -> None:
    """Nobody takes half an answer for a whole one; the record tells the error."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"half"
        raise failure(502, "crashed", reason="crash")

    public.scripted.script = answering(StreamedAnswer(parts()))  # type: ignore[assignment]
    with pytest.raises(httpx2.RemoteProtocolError):
        await public.functions.get("/run/alice/hello")
    owner = await public.store.owners.by_name("alice")
    assert owner is not None
    function = await public.store.functions.by_name(owner.id, "hello")
    assert function is not None
    [usage], [log] = await public.records(function)
    assert (usage.status, usage.status_code, log.reason) == ("error", 200, "crash")


@pytest.mark.parametrize("length", [b"3", b"30"])
async def test_a_stream_that_differs_from_its_length_breaks_off(public: Platform, length: bytes) -> None:
    """Too long or too short."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"12345"

    public.scripted.script = answering(StreamedAnswer(parts(), headers=[(b"Content-Length", length)]))  # type: ignore[assignment]
    with pytest.raises(httpx2.RemoteProtocolError):
        await public.functions.get("/run/alice/hello")


async def test_a_caller_who_goes_away_ends_the_call(public: Platform) -> None:
    """While the function is at work, and in the midst of its answer; both are recorded with 499."""
    ended = asyncio.Event()
    begun = asyncio.Event()

    async def at_work(_deployment: Deployment, _call: Call) -> Answer:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return WholeAnswer()

    async def parts() -> AsyncIterator[bytes]:
        while True:
            yield b"tick"
            begun.set()
            await asyncio.sleep(0.01)

    streamed = StreamedAnswer(parts())
    for script, cancelled in ((at_work, ended), (answering(streamed), streamed.cancelled)):
        begun.clear()
        public.scripted.script = script  # type: ignore[assignment]
        with socket.create_connection(("127.0.0.1", public.functions.base_url.port)) as raw:  # type: ignore[arg-type]
            raw.sendall(b"GET /run/alice/hello HTTP/1.1\r\nHost: x\r\n\r\n")
            await begun.wait()
        async with asyncio.timeout(10):
            await cancelled.wait()
    owner = await public.store.owners.by_name("alice")
    assert owner is not None
    function = await public.store.functions.by_name(owner.id, "hello")
    assert function is not None
    usages, _ = await public.records(function, 2)
    assert [usage.status_code for usage in usages] == [499, 499]
