"""Single calls, each timed by its caller and its answer checked, for what is told by latencies rather than by load."""

import asyncio
import contextlib
import http.client
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from cloudserve.cli.bench.load import Target
from cloudserve.cli.output import CommandError

_TIMEOUT_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Timed:
    """An answer: after how many milliseconds it was there, and its headers, by their names in lower case."""

    ms: float
    headers: dict[str, str] = field(default_factory=dict)


class Caller:
    """One connection to an origin. Use it from one thread."""

    def __init__(self, target: Target) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(target.url).netloc, timeout=_TIMEOUT_SECONDS)
        self._connection.connect()

    def call(self, target: Target) -> Timed:
        """Calls a target of the same origin. Raises `CommandError` when its answer is wrong."""
        begin = time.perf_counter()
        self._connection.request("GET", urlsplit(target.url).path, headers=_headers(target))
        answer = self._connection.getresponse()
        body = answer.read()
        ms = (time.perf_counter() - begin) * 1000
        check(target, answer.status, body)
        return Timed(ms, {name.lower(): value for name, value in answer.getheaders()})

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


@contextlib.contextmanager
def caller(target: Target) -> Iterator[Caller]:
    """Opens a connection to a target's origin, and closes it."""
    with contextlib.closing(Caller(target)) as opened:
        yield opened


def at_once(target: Target, count: int) -> Sequence[float]:
    """Sends so many calls together, each on a connection of its own that stands already; returns their milliseconds."""
    return asyncio.run(_at_once(target, count))


async def _at_once(target: Target, count: int) -> list[float]:
    parts = urlsplit(target.url)
    lines = [f"GET {parts.path} HTTP/1.1", f"host: {parts.netloc}", *(f"{k}: {v}" for k, v in _headers(target).items())]
    request = "\r\n".join([*lines, "", ""]).encode()
    opened = await asyncio.gather(*(asyncio.open_connection(parts.hostname, parts.port) for _ in range(count)))
    begin = time.perf_counter()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> float:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        body = await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        ms = (time.perf_counter() - begin) * 1000
        check(target, int(head.split(b" ", 2)[1]), body)
        return ms

    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            return await asyncio.gather(*(one(*streams) for streams in opened))
    finally:
        for _, writer in opened:
            writer.close()


def check(target: Target, status: int, body: bytes) -> None:
    """Raises `CommandError` unless an answer is the right one."""
    if status != 200 or body != target.body.encode():
        said = body[:300].decode(errors="replace")
        raise CommandError(
            f"{target.name} answered {status} {said!r} in place of 200 {target.body!r}. What answers wrongly is not "
            "measured.",
            reason="wrong-answer",
        )


def _headers(target: Target) -> dict[str, str]:
    return {"api-key": target.key} if target.key else {}
