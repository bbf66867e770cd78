"""The HTTP protocol that joins writes: fewer packets, the same bytes."""

import asyncio

import httpx2

from cloudserve.gateway.http import MOST_PENDING_BYTES, JoinedWrites
from tests.unit.gateway.support import Platform, serving

GET = b"GET /run/alice/hello HTTP/1.1\r\nHost: x\r\n\r\n"


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.ends: list[str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keeps data."""
        self.writes.append(bytes(data))

    def close(self) -> None:
        """Notes it."""
        self.ends.append("closed")

    def abort(self) -> None:
        """Notes it."""
        self.ends.append("aborted")


async def test_writes_of_one_turn_leave_in_one_piece() -> None:
    """In order, at the end of the turn."""
    wire = Wire()
    joined = JoinedWrites(wire, asyncio.get_running_loop())
    joined.write(b"head ")
    joined.write(b"body")
    assert wire.writes == []
    await asyncio.sleep(0)
    joined.write(b"next")
    await asyncio.sleep(0)
    assert wire.writes == [b"head body", b"next"]


async def test_much_data_does_not_pile_up() -> None:
    """What is large leaves at once, so that the connection can hold its writer back."""
    wire = Wire()
    joined = JoinedWrites(wire, asyncio.get_running_loop())
    for _ in range(4):
        joined.write(b"x" * (MOST_PENDING_BYTES // 2))
    assert [len(data) for data in wire.writes] == [MOST_PENDING_BYTES, MOST_PENDING_BYTES]


async def test_closing_sends_what_is_pending_and_aborting_does_not() -> None:
    """As with any transport."""
    for end, sent in (("close", [b"last"]), ("abort", [])):
        wire = Wire()
        joined = JoinedWrites(wire, asyncio.get_running_loop())
        joined.write(b"last")
        getattr(joined, end)()
        await asyncio.sleep(0)
        assert wire.writes == sent
        assert len(wire.ends) == 1


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
