"""A sandbox that gateways on other hosts use: listens, holds the trees they send, and serves their calls.

It has no credentials of any store, nor needs a route to one: what it lacks the gateways send, by hash.
"""

import asyncio
import logging
import os
import socket
import ssl
from collections import Counter
from pathlib import Path
from typing import Final

from cloudserve.core.objects.cache import TreeCache
from cloudserve.sandbox.abc import Deployment, Sandbox
from cloudserve.sandbox.claims import ClaimedSandbox
from cloudserve.sandbox.remote.fetching import Fetching
from cloudserve.sandbox.remote.link import TICK_SECONDS
from cloudserve.sandbox.remote.reports import Report
from cloudserve.sandbox.remote.serving import ServingLink
from cloudserve.sandbox.remote.tls import TlsFiles, require_loopback
from cloudserve.sandbox.remote.wire import MAY_WAIT

TIDY_SECONDS: Final = 600.0
CACHE_BYTES: Final = 4 * 1024 * 1024 * 1024

_BACKLOG: Final = 128
_GRACE_LOOK_SECONDS: Final = 0.02
_END_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class SandboxHost:
    """Serves a sandbox, which whoever made it starts before and closes after.

    Args:
        sandbox: what runs the calls. A `ClaimedSandbox` serves one owner at a time, and the gateways are told whom.
        listen: the address, `host:port`, with port 0 for one that is free, or a socket that is bound to it. One process
            listens there: a gateway keeps several connections with a host, which have to reach the same workers.
        tls: the host's certificate and authority. None listens without TLS, and then on loopback alone.
        folder: what it keeps of trees is in there; several processes may share it.
        capacity: how many calls it can run at once without one slowing another; its processors unless given.

    Raises ValueError for an address that can't be read, and `NotLoopback` from `start` for one beyond loopback without
    TLS.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        listen: str | socket.socket,
        tls: TlsFiles | None,
        folder: Path,
        capacity: int | None = None,
    ) -> None:
        self.sandbox = sandbox
        self.fetching = Fetching()
        self.trees = TreeCache(folder, self.fetching)
        self._claims = sandbox if isinstance(sandbox, ClaimedSandbox) else None
        self._socket = listen if isinstance(listen, socket.socket) else None
        self.address: tuple[str, int] = _read(listen) if isinstance(listen, str) else listen.getsockname()[:2]
        """Where it listens, from `start` on with the port that it got."""
        self._tls = tls
        self._capacity = capacity or len(os.sched_getaffinity(0))
        self._links: set[ServingLink] = set()
        self._in_flight: Counter[str] = Counter()
        self._known: dict[str, Deployment] = {}
        self._draining = False
        self._server: asyncio.Server | None = None
        self._context: ssl.SSLContext | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._relistening: asyncio.Task[None] | None = None
        self._tidying: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop

    @property
    def gateways(self) -> int:
        """How many gateways are connected."""
        return len({link.peer for link in self._links})

    @property
    def draining(self) -> bool:
        """Whether it takes no new calls any more."""
        return self._draining

    async def start(self) -> None:
        """Listens. Raises OSError when the address can't be had or the TLS files can't be read."""
        self._loop = asyncio.get_running_loop()
        if self._socket is None:
            host, port = self.address
            self._socket = socket.create_server((host, port), family=_family(host), backlog=_BACKLOG)
            self.address = self._socket.getsockname()[:2]
        try:
            if self._tls is None:
                require_loopback(self._socket.getsockname())
            await self._accept()
        except BaseException:
            self._socket.close()
            raise
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)
        self._tidying = self._loop.create_task(self._tidy(), name="sandbox-host-tidying")

    def drain(self) -> None:
        """Takes no new calls from now on, and tells the gateways; those under way go on."""
        if not self._draining:
            self._draining = True
            _log.info("no new calls are taken")
            if self._server is not None:
                self._server.close()
            if self._socket is not None:
                self._socket.close()
            for link in self._links:
                link.drain()

    async def close(self, *, grace_seconds: float = 10) -> None:
        """Drains, lets the calls under way finish for as long as `grace_seconds`, and ends the connections."""
        self.drain()
        ends_at = self._loop.time() + grace_seconds
        # Polled, as calls end in many places; a gateway ends its connection when it has its last answer
        while self._loop.time() < ends_at and self._links:  # noqa: ASYNC110
            await asyncio.sleep(_GRACE_LOOK_SECONDS)
        if self._timer is not None:
            self._timer.cancel()
        tasks = [task for task in (self._tidying, self._relistening, *self._retiring) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for link in list(self._links):
            link.close()
        ends_at = self._loop.time() + _END_SECONDS
        while self._loop.time() < ends_at and self._links:  # noqa: ASYNC110 - as above
            await asyncio.sleep(_GRACE_LOOK_SECONDS)
        for link in list(self._links):
            link.abort("it did not end")

    # -- what connections ask of it ------------------------------------------------------------------------------

    def joined(self, link: ServingLink) -> None:
        """Takes note of a connection."""
        self._links.add(link)

    def left(self, link: ServingLink) -> None:
        """Takes note that a connection has ended."""
        self._links.discard(link)
        self.fetching.withdraw(link)

    def begun(self, peer: str) -> None:
        """Counts a call of a gateway."""
        self._in_flight[peer] += 1

    def ended(self, peer: str) -> None:
        """Counts the end of one."""
        self._in_flight[peer] -= 1
        if not self._in_flight[peer]:
            del self._in_flight[peer]

    def report(self, peer: str) -> Report:
        """Returns what a gateway is told of this host."""
        stats = self.sandbox.stats()
        claims = self._claims
        return Report(
            capacity=self._capacity,
            others=self._in_flight.total() - self._in_flight[peer],
            draining=self._draining,
            exclusive=claims is not None,
            free=claims is not None and claims.is_free,
            holder=None if claims is None else claims.holder,
            workers=stats.workers,
            busy=stats.busy,
            waiting=stats.waiting,
            starts=stats.starts,
            kills=stats.kills,
        )

    def declines(self, deployment: Deployment | None, flags: int) -> str | None:
        """Returns why a call can't be taken, None when it can."""
        if self._draining:
            return "it is going away"
        if deployment is None:
            return "it does not know the version any more"
        claims = self._claims
        if claims is not None and not flags & MAY_WAIT and not claims.serves(deployment.owner_id):
            return "it serves another owner"
        return None

    def known(self, deployment: Deployment) -> Deployment:
        """Returns the one object that all connections have for a deployment, which the sandbox then knows by sight."""
        known = self._known.get(deployment.version_id)
        if known is not None and known == deployment:
            return known
        self._known[deployment.version_id] = deployment
        return deployment

    def retire(self, function_id: str, keep_version: str | None) -> None:
        """Ends the workers of a function but those of one version."""
        task = self._loop.create_task(self.sandbox.retire(function_id, keep_version=keep_version))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    # -- housekeeping --------------------------------------------------------------------------------------------

    async def _accept(self) -> None:
        """Accepts connections, with the certificates as they are now."""
        before = self._server
        assert self._socket is not None  # noqa: S101 - it is made first of all
        self._context = None if self._tls is None else self._tls.of_sandbox()
        self._server = await self._loop.create_server(
            lambda: ServingLink(self, tls=self._tls is not None),
            sock=self._socket.dup(),
            ssl=self._context,
            backlog=_BACKLOG,
        )
        if before is not None:
            before.close()
            _log.info("the TLS files were read again")

    def _tick(self) -> None:
        for link in list(self._links):
            link.tick()
        replaced = self._tls is not None and self._tls.of_sandbox() is not self._context
        if replaced and self._relistening is None and not self._draining:
            self._relistening = self._loop.create_task(self._accept())
            self._relistening.add_done_callback(self._relistened)
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)

    def _relistened(self, task: "asyncio.Task[None]") -> None:
        self._relistening = None
        if not task.cancelled() and task.exception() is not None:
            _log.error("the TLS files can't be used", exc_info=task.exception())

    async def _tidy(self) -> None:
        """Keeps what is held of trees and deployments from growing without bound; what gateways have deployed stays."""
        while True:
            await asyncio.sleep(TIDY_SECONDS)
            links = list(self._links)
            versions = set().union(*(link.versions for link in links))
            self._known = {version: known for version, known in self._known.items() if version in versions}
            try:
                await self.trees.shrink(CACHE_BYTES, keep=set().union(*(link.trees for link in links)))
            except OSError as error:
                _log.warning("the trees were not tidied: %s", error)


def _read(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{listen!r} is no address to listen on. Write `host:port`, such as `0.0.0.0:7710`.")
    return host.strip("[]"), int(port)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
