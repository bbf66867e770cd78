"""One sandbox host, as a gateway sees it: its connections, kept up while it is a member, and what it reports."""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

from cloudserve.sandbox.failures import Failure
from cloudserve.sandbox.remote.archives import Archives
from cloudserve.sandbox.remote.calling import CallingLink
from cloudserve.sandbox.remote.members import Address
from cloudserve.sandbox.remote.placed import PlacedCall
from cloudserve.sandbox.remote.reports import Report
from cloudserve.sandbox.remote.tls import SANDBOX, NotLoopback, TlsFiles, require_loopback

LINKS: Final = 2
"""Connections with each host. A function's calls take one of them; the other goes on where a packet was lost."""

CONNECT_SECONDS: Final = 2.0
_LEAST_PAUSE: Final = 0.05
_MOST_PAUSE: Final = 1.0

_log = logging.getLogger(__name__)


class Member:
    """A host. `on_change` is called when it can be used, or not any more, and when it has reported."""

    def __init__(
        self,
        address: Address,
        *,
        tls: TlsFiles | None,
        peer: str,
        archives: Archives,
        on_change: "Callable[[Member], None]",
    ) -> None:
        self.name = address.name
        self.address = address
        self.usable = False
        self.silent = False
        self.report = Report()
        self.in_flight = 0
        """This gateway's calls on it."""
        self.tried = asyncio.Event()
        """Set when it was first tried to connect."""
        self._tls = tls
        self._peer = peer
        self._archives = archives
        self._on_change = on_change
        self._links: list[CallingLink | None] = [None] * LINKS
        self._complained = False
        self._tasks = [asyncio.create_task(self._keep(place), name=f"sandbox-{self.name}") for place in range(LINKS)]

    @property
    def load(self) -> int:
        """All gateways' calls on it, as far as is known."""
        return self.in_flight + self.report.others

    @property
    def capacity(self) -> int:
        """The calls that it can run at once."""
        return self.report.capacity

    @property
    def exclusive(self) -> bool:
        """Whether it serves one owner at a time."""
        return self.report.exclusive

    @property
    def free(self) -> bool:
        """Whether no owner has it, where it serves one at a time."""
        return self.report.free

    @property
    def holder(self) -> str | None:
        """The owner that has it, where it serves one at a time."""
        return self.report.holder

    @property
    def links(self) -> list[CallingLink]:
        """The connections that stand."""
        return [link for link in self._links if link is not None and link.is_open]

    def place(self, call: PlacedCall) -> None:
        """Takes a call; the host has to be usable."""
        self.in_flight += 1
        call.member = self
        if self.report.exclusive:
            owner_id = call.deployment.owner_id
            call.may_wait = call.moved or not (self.report.free or self.report.holder == owner_id)
            self.report = self.report.claimed(owner_id)
        link = self._links[hash(call.deployment.function_id) % LINKS]
        if link is None or not link.usable or link.silent:
            usable = [one for one in self.links if one.usable]
            link = next((one for one in usable if not one.silent), usable[0] if usable else None)
        if link is None:  # lost in this very turn
            call.not_begun(Failure("no-sandbox", f"The sandbox host {self.name} was lost.", retry_after=1))
        else:
            link.place(call)

    def tick(self) -> None:
        """Pings, and looks whether the host is still heard of."""
        for link in self.links:
            link.tick()
        self._look()

    async def close(self) -> None:
        """Ends the connections, after what was written."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        links = self.links
        for link in links:
            link.close()
        if links:
            await asyncio.wait([link.lost for link in links], timeout=CONNECT_SECONDS)
        for link in links:
            link.abort("it did not end")

    def _look(self, report: Report | None = None) -> None:
        """Takes up that something has changed."""
        if report is not None:
            self.report = report
        usable = [link for link in self.links if link.usable]
        self.usable = bool(usable)
        self.silent = all(link.silent for link in usable)
        self._on_change(self)

    async def _keep(self, place: int) -> None:
        """Connects, again and again for as long as the host is a member."""
        pause = _LEAST_PAUSE
        while True:
            link = CallingLink(self.name, peer=self._peer, archives=self._archives, on_change=self._look)
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self._connect(link)
                    self._links[place] = link
                    await link.welcome
            except (OSError, TimeoutError, NotLoopback) as error:
                self._complain(error)
                link.abort("it did not welcome")
            else:
                self._complained = False
                pause = _LEAST_PAUSE
                self.tried.set()
                self._look()
                await link.lost
                _log.info("a connection with the sandbox host %s has ended", self.name)
            self.tried.set()
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - so that not all gateways come at once
            pause = min(2 * pause, _MOST_PAUSE)

    async def _connect(self, link: CallingLink) -> None:
        loop = asyncio.get_running_loop()
        host, port = self.address.host, self.address.port
        if self._tls is not None:
            context = self._tls.of_gateway()
            await loop.create_connection(lambda: link, host, port, ssl=context, server_hostname=SANDBOX)
            return
        transport, _ = await loop.create_connection(lambda: link, host, port)
        try:
            require_loopback(transport.get_extra_info("peername"))
        except NotLoopback:
            transport.abort()
            raise

    def _complain(self, error: Exception) -> None:
        """Tells why there is no connection, once for each time that it was lost."""
        if not self._complained:
            self._complained = True
            _log.warning("the sandbox host %s can't be reached: %s", self.name, str(error) or "it does not answer")
