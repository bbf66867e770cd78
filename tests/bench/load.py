"""A load generator for machines without `wrk`: raw sockets, one request at a time on each connection.

    python -m tests.bench.load URL KEY CONNECTIONS SECONDS

Prints the requests per second. Ends with an error when an answer is not a 200.
"""

import asyncio
import sys
import time
from urllib.parse import urlsplit

import uvloop


class Caller(asyncio.Protocol):
    """One connection. The answers are all alike, so that the first tells how long each of them is."""

    def __init__(self, request: bytes, until: float) -> None:
        self.count = 0
        self.ended = asyncio.get_running_loop().create_future()
        self._request = request
        self._until = until
        self._length = 0
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends the first request."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Counts whole answers, and sends the next request after each."""
        self._received += data
        if not self._length:
            head, found, _ = self._received.partition(b"\r\n\r\n")
            if not found:
                return
            size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            self._length = len(head) + 4 + size
        if len(self._received) < self._length:
            return
        if not self._received.startswith(b"HTTP/1.1 200"):
            self.ended.set_exception(RuntimeError(self._received.decode(errors="replace")))
            return
        self._received = b""
        self.count += 1
        if time.perf_counter() < self._until:
            self._transport.write(self._request)
        else:
            self._transport.close()
            self.ended.set_result(None)


async def main(url: str, key: str, connections: int, seconds: float) -> None:
    """Calls for so many seconds, and prints the result."""
    parts = urlsplit(url)
    request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\napi-key: {key}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    begin = time.perf_counter()
    callers = [Caller(request, begin + seconds) for _ in range(connections)]
    for caller in callers:
        await loop.create_connection(lambda caller=caller: caller, parts.hostname, parts.port)  # type: ignore[misc]
    await asyncio.gather(*(caller.ended for caller in callers))
    print(sum(caller.count for caller in callers) / (time.perf_counter() - begin))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
