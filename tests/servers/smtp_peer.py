"""A mail server that does what a test tells it to: refuse, fall silent, or break off, at any point of a session."""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

BREAK_OFF: Final = "break off"
FALL_SILENT: Final = "fall silent"
TAKE_TIME: Final = "take time"

STAGES: Final = ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "END")
"""Where a session can be told to go wrong, in their order; `END` is when the whole message has come."""

_EXTENSIONS: Final = ("8BITMIME", "AUTH PLAIN LOGIN")
_USUAL: Final = {
    "CONNECT": "220 peer.example at your service",
    "STARTTLS": "220 go ahead",
    "AUTH": "235 welcome",
    "MAIL": "250 ok",
    "RCPT": "250 ok",
    "DATA": "354 go ahead",
    "END": "250 taken",
    "QUIT": "221 goodbye",
}


@dataclass(frozen=True, slots=True)
class Taken:
    """A mail that was taken, as it came."""

    mail: str
    rcpt: str
    content: bytes
    over_tls: bool


@dataclass
class Peer:
    """What became of it: the mails it took, every line it heard, its sessions, and how many there were at once.

    `script` holds, for a stage, what happens the first times instead of the usual: a reply, `BREAK_OFF`,
    `FALL_SILENT`, or `TAKE_TIME` and then the usual.
    """

    script: dict[str, deque[str]]
    extensions: Sequence[str]
    tls: ssl.SSLContext | None
    port: int = 0
    taken: list[Taken] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    sessions: int = 0
    most_at_once: int = 0
    under_way: set[asyncio.Task[None]] = field(default_factory=set)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Goes through one session."""
        task = asyncio.current_task()
        assert task is not None
        self.sessions += 1
        self.under_way.add(task)
        self.most_at_once = max(self.most_at_once, len(self.under_way))
        try:
            await _Session(self, reader, writer).run()
        except (ConnectionError, ssl.SSLError):
            pass  # the other side has left
        finally:
            self.under_way.remove(task)
            writer.transport.abort()


class _Session:
    def __init__(self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._peer, self._reader, self._writer = peer, reader, writer
        self._mail = self._rcpt = ""

    async def run(self) -> None:
        if not await self._say("CONNECT"):
            return
        while line := (await self._reader.readline()).decode("utf-8", "replace").strip():
            self._peer.heard.append(line)
            verb = line.split()[0].upper()
            if not await self._answer(verb, line) or verb == "QUIT":
                return

    async def _answer(self, verb: str, line: str) -> bool:
        match verb:
            case "EHLO":
                usual = "\r\n".join(
                    ["250-peer.example", *(f"250-{one}" for one in self._offered()), "250 SIZE 1000000"]
                )
                return await self._say("EHLO", usual)
            case "MAIL":
                self._mail = line
            case "RCPT":
                self._rcpt = line
            case "DATA":
                reply = self._next("DATA")
                return await self._do(reply) and (not reply.startswith("354") or await self._take())
            case "STARTTLS":
                if not await self._say("STARTTLS"):
                    return False
                await self._writer.start_tls(self._peer.tls)  # type: ignore[arg-type]  # offered with a context alone
                return True
        return await self._say(verb)

    def _offered(self) -> list[str]:
        return [one for one in self._peer.extensions if one != "STARTTLS" or not self._is_over_tls()]

    async def _take(self) -> bool:
        content = await self._reader.readuntil(b"\r\n.\r\n")
        reply = self._next("END")
        if reply.startswith("250"):
            content = content.removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.")
            self._peer.taken.append(Taken(self._mail, self._rcpt, content, self._is_over_tls()))
        return await self._do(reply)

    def _is_over_tls(self) -> bool:
        return self._writer.get_extra_info("ssl_object") is not None

    def _next(self, stage: str, usual: str = "") -> str:
        scripted = self._peer.script.get(stage)
        return scripted.popleft() if scripted else usual or _USUAL.get(stage, "250 ok")

    async def _say(self, stage: str, usual: str = "") -> bool:
        told = self._next(stage, usual)
        if told == TAKE_TIME:
            await asyncio.sleep(0.05)
            told = usual or _USUAL[stage]
        return await self._do(told)

    async def _do(self, what: str) -> bool:
        if what == FALL_SILENT:
            await self._until_left()
        if what in (FALL_SILENT, BREAK_OFF):
            return False
        self._writer.write(what.encode() + b"\r\n")
        await self._writer.drain()
        return not what.startswith("421")

    async def _until_left(self) -> None:
        """Returns when the other side has left, or the test is over."""
        ends = [asyncio.create_task(self._reader.read()), asyncio.create_task(self._peer.over.wait())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)


@asynccontextmanager
async def peer(
    script: Mapping[str, Sequence[str]] | None = None,
    *,
    extensions: Sequence[str] = _EXTENSIONS,
    tls: ssl.SSLContext | None = None,
    implicit: bool = False,
) -> AsyncIterator[Peer]:
    """Yields a mail server on a port of loopback. With `tls` it offers STARTTLS, or `implicit` TLS alone."""
    offered = (*extensions, "STARTTLS") if tls and not implicit else extensions
    made = Peer({stage: deque(told) for stage, told in (script or {}).items()}, offered, tls)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=tls if implicit else None)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        made.over.set()
        server.close()
        await asyncio.gather(*made.under_way)
