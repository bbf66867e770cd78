"""The proxy does to connections what a test asks of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.servers.proxy import Proxy

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """A proxy to a server that sends back each line."""
    writers = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(line)

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    with Proxy(server.sockets[0].getsockname()[1]) as proxy:
        yield proxy
    server.close()
    for writer in writers:
        writer.close()


async def connected(proxy: Proxy) -> Streams:
    """Returns a connection by way of the proxy."""
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def echoed(streams: Streams, line: bytes = b"hello\n") -> bool:
    """Tells whether a line comes back."""
    streams[1].write(line)
    return await streams[0].readline() == line


async def has_ended(reader: asyncio.StreamReader) -> bool:
    """Tells whether the connection ends, in order or not."""
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


async def test_it_carries_both_ways(proxy: Proxy) -> None:
    """Also more than one read takes."""
    streams = await connected(proxy)
    assert await echoed(streams)
    streams[1].write((b"x" * 1023 + b"\n") * 1024)
    assert len(await streams[0].readexactly(1024 * 1024)) == 1024 * 1024
    streams[1].close()


async def test_a_cut_breaks_connections_and_refuses_new_ones_until_it_is_mended(proxy: Proxy) -> None:
    """On the same port."""
    streams = await connected(proxy)
    assert await echoed(streams)
    proxy.cut()
    assert await has_ended(streams[0])
    with pytest.raises(ConnectionRefusedError):
        await connected(proxy)
    proxy.restore()
    again = await connected(proxy)
    assert await echoed(again)
    for _, writer in (streams, again):
        writer.close()


async def test_what_is_stalled_arrives_when_it_is_mended(proxy: Proxy) -> None:
    """On old connections and on new ones."""
    old = await connected(proxy)
    assert await echoed(old)
    proxy.stall()
    new = await connected(proxy)
    waiting = [asyncio.create_task(echoed(streams)) for streams in (old, new)]
    done, _ = await asyncio.wait(waiting, timeout=0.2)
    assert not done
    proxy.restore()
    assert await asyncio.gather(*waiting) == [True, True]
    for _, writer in (old, new):
        writer.close()


async def test_a_slow_network_answers_in_the_end(proxy: Proxy) -> None:
    """But not before the delay."""
    streams = await connected(proxy)
    proxy.slow_down(0.3)
    waiting = asyncio.create_task(echoed(streams))
    done, _ = await asyncio.wait([waiting], timeout=0.1)
    assert not done
    assert await waiting
    streams[1].close()


async def test_a_server_that_is_down_breaks_the_connection() -> None:
    """As it would without a proxy, but for the moment in which it was accepted."""
    with Proxy(1) as proxy:
        reader, writer = await connected(proxy)
        assert await has_ended(reader)
        writer.close()
