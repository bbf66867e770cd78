"""The internet, in one process of a network namespace of its own: what functions may reach, and what they abuse it for.

- HTTP on port 80 of every address: `/redirect?TARGET` answers with a redirect to the target, everything else with 200.
- DNS on port 53, over UDP and TCP: `open.test` is where HTTP is; `shut.test` is 127.0.0.1; `metadata.test` is
  169.254.169.254; `rebind.test` is the one and the other in turn, with no time to live; `both.test` is both at once.

Started as `python internet.py ADDRESS`; prints a line when it listens, and ends when its input does.
"""

import asyncio
import itertools
import socket
import struct
import sys

_turns = itertools.count()


def addresses(name: str, public: str) -> list[str]:
    """Returns what a name resolves to, this time."""
    known = {
        "open.test": [public],
        "shut.test": ["127.0.0.1"],
        "metadata.test": ["169.254.169.254"],
        "rebind.test": [(public, "127.0.0.1")[next(_turns) % 2]],
        "both.test": [public, "127.0.0.1"],
    }
    return known.get(name, [])


def answer(query: bytes, public: str) -> bytes:
    """Answers a DNS message (RFC 1035) of one question."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += query[at] + 1
    question = query[12 : at + 5]
    (kind,) = struct.unpack_from(">H", query, at + 1)
    name = ".".join(labels).lower()
    found = addresses(name, public) if kind == 1 else []
    records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(each) for each in found)
    return query[:2] + b"\x81\x80" + struct.pack(">4H", 1, len(found), 0, 0) + question + records


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, public: str) -> None:
        self._public = public

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(answer(data, self._public), addr)  # type: ignore[attr-defined] # a datagram transport


async def main(public: str) -> None:
    """Serves until the input ends."""

    async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            target = head.split(b" ")[1]
            if target.startswith(b"/redirect?"):
                writer.write(b"HTTP/1.1 302 Found\r\nlocation: " + target[10:] + b"\r\ncontent-length: 0\r\n\r\n")
            else:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nopen")
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def dns(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size,) = struct.unpack(">H", await reader.readexactly(2))
                reply = answer(await reader.readexactly(size), public)
                writer.write(struct.pack(">H", len(reply)) + reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    await asyncio.start_server(http, public, 80)
    await asyncio.start_server(dns, public, 53)
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Datagrams(public), (public, 53))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
