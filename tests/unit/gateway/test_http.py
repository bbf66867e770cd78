"""The HTTP protocol: warm calls take a way of their own, and nobody can tell by the answers."""

import asyncio
from typing import Any

import httpx2
import pytest

from cloudserve.gateway.straight import StraightCall
from cloudserve.sandbox.abc import Answer, Call, Deployment, Outcome
from tests.unit.gateway.support import Platform, WholeAnswer, eventually, failure, serving

GET = b"GET /run/alice/hello HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_pipelined_requests_are_answered_in_order(platform: Platform) -> None:
    """Three requests in one packet."""
    await platform.function(await platform.owner(), public=True)
    reader, writer = await asyncio.open_connection("127.0.0.1", platform.functions.base_url.port)
    writer.write(GET * 3)
    for _ in range(3):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(5) == b"hello"
    writer.close()
    await writer.wait_closed()


async def test_a_connection_that_asks_for_its_end_gets_the_whole_answer_first(platform: Platform) -> None:
    """`Connection: close`, and HTTP/1.0."""
    await platform.function(await platform.owner(), public=True)
    port = platform.functions.base_url.port
    for request in (GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), GET.replace(b"1.1", b"1.0")):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"\r\n\r\nhello")
        writer.close()
        await writer.wait_closed()


async def test_an_upgrade_is_refused_by_an_application_that_speaks_http_alone(platform: Platform) -> None:
    """The request is answered as if it had not asked."""
    answer = await platform.functions.get("/healthz", headers={"Connection": "Upgrade", "Upgrade": "h2c"})
    assert answer.status_code == 200


async def test_a_large_answer_arrives_whole() -> None:
    """Through an application that writes in one go more than buffers hold."""

    async def large(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b"x" * 5_000_000})  # type: ignore[operator]

    async with serving(large) as port, httpx2.AsyncClient(trust_env=False) as client:
        assert len((await client.get(f"http://127.0.0.1:{port}/")).content) == 5_000_000


async def get(port: int, request: bytes = GET) -> bytes:
    """Returns the whole answer to a request after which the connection closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def without(answer: bytes, *names: bytes) -> list[bytes]:
    """Returns an answer's lines, but for headers that differ from call to call."""
    return [line for line in answer.split(b"\r\n") if line.partition(b":")[0] not in names]


async def test_both_ways_answer_alike(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte by byte, but for the time, the execution, and the order of headers."""
    await platform.function(await platform.owner(), public=True)
    headers = ((b"content-type", b"text/plain"), (b"set-cookie", b"a=b"), (b"x-own", b"1"), (b"server", b"mine"))

    async def script(_deployment: Deployment, _call: Call) -> Answer:
        return WholeAnswer(201, headers, b"made")

    platform.scripted.script = script
    port = int(platform.functions.base_url.port or 0)
    await get(port)
    taken = []
    plain_end = StraightCall.on_end
    monkeypatch.setattr(StraightCall, "on_end", lambda call, end: (taken.append(call), plain_end(call, end)))
    straight = await get(port)
    assert len(taken) == 1
    monkeypatch.setattr(platform.gateway.app.straight, "take", lambda *_: False)
    other = await get(port)
    assert len(taken) == 1
    differ = (b"x-cloudserve-execution-id", b"date")
    assert sorted(without(straight, *differ)) == sorted(without(other, *differ))
    assert b"x-own: 1" in straight


async def test_a_request_that_comes_in_pieces_is_answered(platform: Platform) -> None:
    """Its head and its body, each in two packets."""
    await platform.function(await platform.owner(), public=True)
    bodies = []

    async def script(_deployment: Deployment, call: Call) -> Answer:
        body = call.body
        bodies.append(body if isinstance(body, bytes) else b"".join([part async for part in body]))
        return WholeAnswer()

    platform.scripted.script = script
    reader, writer = await asyncio.open_connection("127.0.0.1", platform.functions.base_url.port)
    for _ in range(2):
        for piece in (b"POST /run/alice/hello HTTP/1.1\r\nHo", b"st: x\r\nContent-Length: 6\r\n\r\nabc", b"def"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(5) == b"hello"
    writer.close()
    await writer.wait_closed()
    assert bodies == [b"abcdef", b"abcdef"]


async def test_the_records_of_one_turn_are_appended_at_once_before_their_answers_leave(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten calls that the sandbox answers in one turn of the loop cost one append, after which ten answers go out."""
    await platform.function(await platform.owner(), public=True)
    port = int(platform.functions.base_url.port or 0)
    await get(port)
    waiting: list[Any] = []

    def submit(_deployment: Deployment, _call: Call, on_end: Any) -> Any:
        waiting.append(on_end)
        return lambda: None

    monkeypatch.setattr(platform.sandbox, "submit", submit)
    recorder = platform.gateway._recorder
    events: list[Any] = []
    plain_append = recorder._spool.append

    def append(*lines: bytes) -> None:
        events.append(len(lines))
        plain_append(*lines)

    monkeypatch.setattr(recorder._spool, "append", append)
    calls = [asyncio.create_task(get(port)) for _ in range(10)]
    await eventually(lambda: len(waiting) == 10)
    for on_end in waiting:
        on_end(WholeAnswer(outcome=Outcome("success", 1, 2)))
    assert events == []
    answers = await asyncio.gather(*calls)
    assert all(answer.endswith(b"hello") for answer in answers)
    assert events == [10]


async def test_a_failure_is_told_and_the_connection_goes_on(platform: Platform) -> None:
    """A warm call that fails is answered with its problem, and the next one on the same connection with its answer."""
    await platform.function(await platform.owner(), public=True)
    port = platform.functions.base_url.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def fail(_deployment: Deployment, _call: Call) -> Answer:
        raise failure()

    plain = platform.scripted.script
    for script, status in ((plain, b"200"), (fail, b"500"), (plain, b"200")):
        platform.scripted.script = script
        writer.write(GET)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 " + status)
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    writer.close()
    await writer.wait_closed()


async def test_a_caller_who_goes_away_ends_a_warm_call(platform: Platform) -> None:
    """The sandbox is told at once, and the record says 499."""
    function = await platform.function(await platform.owner(), public=True)
    port = int(platform.functions.base_url.port or 0)
    await get(port)
    cancelled = asyncio.Event()
    begun = asyncio.Event()

    async def script(_deployment: Deployment, _call: Call) -> Answer:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return WholeAnswer()

    platform.scripted.script = script
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET)
    await begun.wait()
    writer.close()
    await cancelled.wait()
    usages, _ = await platform.records(function, 2)
    assert usages[-1].status_code == 499


async def test_an_idle_connection_is_closed_once_nobody_has_used_it_for_the_time(platform: Platform) -> None:
    """One timer serves all its requests: when it is due, it looks when the connection was used last."""
    await platform.function(await platform.owner(), public=True)
    async with serving(platform.gateway.app, timeout_keep_alive=0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert await reader.read() == b"hello"
        writer.close()
        await writer.wait_closed()
