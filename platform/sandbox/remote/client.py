"""The sandbox of a gateway whose functions run on other hosts: chooses a host for each call and brings the answer back.

A gateway can't tell it from `LocalSandbox`, but for two reasons more why a call may have no answer: `no-sandbox`, no
host could take it, and `sandbox-lost`, its host was lost with it. The wire is in `wire`, the choice in `choice`.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from cloudserve.core.ids import new_id
from cloudserve.sandbox.abc import Answer, Call, Deployment, InvocationFailed, OnEnd, Sandbox, SandboxStats
from cloudserve.sandbox.failures import Failure
from cloudserve.sandbox.remote.archives import Archives
from cloudserve.sandbox.remote.choice import Choice
from cloudserve.sandbox.remote.link import TICK_SECONDS
from cloudserve.sandbox.remote.member import Member
from cloudserve.sandbox.remote.members import Address, Members, Resolve
from cloudserve.sandbox.remote.placed import PlacedCall
from cloudserve.sandbox.remote.tls import TlsFiles

START_SECONDS: Final = 3.0
"""How long `start` waits for the hosts that there are; those that come later join then."""

RETRY_AFTER_SECONDS: Final = 1

_CLOSING: Final = Failure("shutdown", "The sandbox is closing.", retry_after=RETRY_AFTER_SECONDS)
_NONE: Final = Failure(
    "no-sandbox", "No sandbox host can be reached just now. Try again shortly.", retry_after=RETRY_AFTER_SECONDS
)
_GRACE_LOOK_SECONDS: Final = 0.02

_log = logging.getLogger(__name__)


class RemoteSandbox(Sandbox):
    """Runs versions on sandbox hosts.

    A call is begun once: it is sent to another host only where the first one has not begun it. `Limits.min_warm` is
    kept on the host that the function prefers.

    Args:
        members: where the hosts are: `host:port` for each, separated by commas, or `dns:name:port` for all addresses of
            a name, looked up every second.
        tls: the gateway's certificate and authority. None speaks without TLS, and then with loopback alone.
        resolve: looks up a name; the system's resolver unless given.

    Raises `BadMembers` for a list that can't be read.
    """

    def __init__(self, members: str, *, tls: TlsFiles | None, resolve: Resolve | None = None) -> None:
        self._members = Members(members, self._now_are, resolve=resolve)
        self._tls = tls
        self._peer = new_id()
        self._archives = Archives()
        self._choice: Choice[Member] = Choice()
        self._kept_warm: dict[str, Deployment] = {}
        self._warmed_at: dict[str, Member] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._loop: asyncio.AbstractEventLoop

    @property
    def hosts(self) -> int:
        """How many hosts are members."""
        return len(self._choice.hosts)

    @property
    def reachable(self) -> int:
        """How many hosts there are to send calls to."""
        return sum(member.usable and not member.silent for member in self._choice.hosts)

    async def start(self) -> None:
        """Connects. Hosts that can't be reached are tried for as long as they are members.

        Raises OSError when the TLS files can't be read.
        """
        self._loop = asyncio.get_running_loop()
        if self._tls is not None:
            self._tls.of_gateway()
        await self._members.start()
        self._tick()
        tried = [asyncio.create_task(member.tried.wait()) for member in self._choice.hosts]
        if tried:
            await asyncio.wait(tried, timeout=START_SECONDS)
        for task in tried:
            task.cancel()
        if not self.reachable:
            _log.warning("no sandbox host can be reached yet")

    def submit(self, deployment: Deployment, call: Call, on_end: OnEnd) -> Callable[[], None]:
        placed = PlacedCall(deployment, call, on_end, self._place_again)
        if self._closing:
            placed.fail(_CLOSING)
        else:
            member = self._choice.choose(deployment.function_id, deployment.owner_id)
            if member is None:
                placed.fail(_NONE)
            else:
                member.place(placed)
        return placed.give_up

    async def warm(self, deployment: Deployment) -> None:
        if deployment.limits.min_warm:
            self._kept_warm[deployment.function_id] = deployment
        ended: asyncio.Future[None] = self._loop.create_future()

        def on_end(end: Answer | InvocationFailed) -> None:
            if isinstance(end, InvocationFailed):
                ended.set_exception(end)
            else:
                ended.set_result(None)

        placed = self._warm(deployment, on_end)
        try:
            await ended
        finally:
            placed.give_up()

    async def retire(self, function_id: str, *, keep_version: str | None = None) -> None:
        kept = self._kept_warm.get(function_id)
        if kept is not None and kept.version_id != keep_version:
            del self._kept_warm[function_id]
            self._warmed_at.pop(function_id, None)
        for member in self._choice.hosts:
            for link in member.links:
                link.retire(function_id, keep_version)

    async def close(self, *, grace_seconds: float = 10) -> None:
        self._closing = True
        await self._members.close()
        hosts = self._choice.hosts
        ends_at = self._loop.time() + grace_seconds
        # Polled, as calls end in many places, and only here does anybody wait for the last of them
        while self._loop.time() < ends_at and any(member.in_flight for member in hosts):  # noqa: ASYNC110
            await asyncio.sleep(_GRACE_LOOK_SECONDS)
        for member in hosts:
            for link in member.links:
                link.fail_all(_CLOSING)
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*(member.close() for member in hosts), *self._leaving, return_exceptions=True)

    def stats(self) -> SandboxStats:
        """Adds up what the hosts have last told, each within the second."""
        total = SandboxStats(workers=0, busy=0, waiting=0, starts=0, kills=0)
        for member in self._choice.hosts:
            links = member.links
            if links:
                told = member.report
                total = SandboxStats(
                    total.workers + told.workers,
                    total.busy + told.busy,
                    total.waiting + told.waiting + sum(link.waiting for link in links),
                    total.starts + told.starts,
                    total.kills + told.kills,
                )
        return total

    # -- calls ---------------------------------------------------------------------------------------------------

    def _place_again(self, call: PlacedCall, before: Member, why: Failure) -> None:
        """Places a call that a host has not begun: elsewhere, else there once more."""
        if self._closing:
            call.fail(_CLOSING)
            return
        deployment = call.deployment
        member = self._choice.choose(deployment.function_id, deployment.owner_id, besides=before)
        if member is None and before.usable:
            member = before
        if member is None:
            call.fail(why)
        else:
            member.place(call)

    def _warm(self, deployment: Deployment, on_end: OnEnd) -> PlacedCall:
        placed = PlacedCall(deployment, None, on_end, self._place_again)
        member = self._choice.home(deployment.function_id, deployment.owner_id)
        if self._closing or member is None:
            placed.fail(_CLOSING if self._closing else _NONE)
        else:
            if deployment.limits.min_warm:
                self._warmed_at[deployment.function_id] = member
            member.place(placed)
        return placed

    # -- members -------------------------------------------------------------------------------------------------

    def _now_are(self, addresses: Sequence[Address]) -> None:
        """Takes up who is a member: who has left finishes what it has."""
        before = {member.address: member for member in self._choice.hosts}
        for address in addresses:
            if address not in before:
                _log.info("the sandbox host %s joins", address.name)
        self._choice.replace([before.get(address) or self._join(address) for address in addresses])
        for left in (member for address, member in before.items() if address not in addresses):
            _log.info("the sandbox host %s leaves", left.name)
            task = self._loop.create_task(self._leave(left))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    def _join(self, address: Address) -> Member:
        return Member(
            address, tls=self._tls, peer=self._peer, archives=self._archives, on_change=self._keep_warm_minimum
        )

    async def _leave(self, member: Member) -> None:
        while member.in_flight and not self._closing:
            await asyncio.sleep(TICK_SECONDS)
            member.tick()
        await member.close()

    def _tick(self) -> None:
        for member in self._choice.hosts:
            member.tick()
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)

    def _keep_warm_minimum(self, changed: Member) -> None:
        """Warms what is to be kept warm, on the host that it has now: another one, or the same after it was away."""
        if not changed.usable:
            for function_id in [one for one, member in self._warmed_at.items() if member is changed]:
                del self._warmed_at[function_id]
        for function_id, deployment in self._kept_warm.items():
            home = self._choice.home(function_id, deployment.owner_id)
            if home is not None and self._warmed_at.get(function_id) is not home:
                self._warm(deployment, _ignore)


def _ignore(_end: Answer | InvocationFailed) -> None:
    """Takes what became of a warming that nobody waits for: its calls will be told."""
