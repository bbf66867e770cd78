"""Where the sandbox hosts are: a list of addresses, and names whose addresses are looked up again and again.

A name's addresses join as soon as a look-up has them. One leaves when `ABSENCES` look-ups in a row lack it, because a
resolver may hand out some of many; a look-up that fails changes nothing. A host that has died is not used meanwhile
anyway, whatever the name service says.
"""

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

LOOK_UP_SECONDS: Final = 1.0
ABSENCES: Final = 3

_ENTRY: Final = re.compile(r"(?P<dns>dns:)?(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\s:\[\],]+)):(?P<port>\d{1,5})")

_log = logging.getLogger(__name__)

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a name. Raises OSError."""


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where a host listens. Its `name` is what functions are spread by."""

    host: str
    port: int

    @property
    def name(self) -> str:
        """The address in one word."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class BadMembers(ValueError):  # noqa: N818 - reads as what is wrong
    """A list of members that can't be read; the message names the entry and the remedy."""


def parse(members: str) -> tuple[list[Address], list[Address]]:
    """Returns the addresses of a list, and the names in it that are to be looked up. Raises `BadMembers`."""
    listed: list[Address] = []
    names: list[Address] = []
    for entry in (part.strip() for part in members.split(",")):
        found = _ENTRY.fullmatch(entry)
        if found is None or not 0 < int(found["port"]) < 65536:
            raise BadMembers(
                f"{entry!r} is no sandbox host. Write `host:port` for each, separated by commas, or `dns:name:port` "
                "for all addresses of a name."
            )
        (names if found["dns"] else listed).append(Address(found["v6"] or found["host"], int(found["port"])))
    return listed, names


class Members:
    """Follows who is a member; `on_change` gets all of them, at first and whenever that has changed."""

    def __init__(
        self, members: str, on_change: Callable[[Sequence[Address]], None], *, resolve: Resolve | None = None
    ) -> None:
        self._listed, self._names = parse(members)
        self._on_change = on_change
        self._resolve = resolve or _resolve
        self._absent: dict[Address, dict[Address, int]] = {name: {} for name in self._names}
        self._told: Sequence[Address] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when every name was looked up once."""
        await self._look_up()
        if self._names:
            self._task = asyncio.get_running_loop().create_task(self._follow(), name="sandbox-members")

    async def close(self) -> None:
        """Ends the look-ups."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK_UP_SECONDS)
            await self._look_up()

    async def _look_up(self) -> None:
        for name in self._names:
            try:
                found = {Address(host, name.port) for host in await self._resolve(name.host, name.port)}
            except OSError as error:
                if self._told is None:
                    _log.warning("the sandbox hosts of %s can't be looked up: %s", name.host, error)
                continue
            absent = self._absent[name]
            for address in [address for address in absent if address not in found]:
                absent[address] += 1
                if absent[address] >= ABSENCES:
                    del absent[address]
            absent.update(dict.fromkeys(found, 0))
        members = sorted({*self._listed, *(address for absent in self._absent.values() for address in absent)})
        if members != self._told:
            self._told = members
            self._on_change(members)


async def _resolve(name: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]
