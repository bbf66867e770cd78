"""A gateway's end of a connection to a sandbox host: deployments, calls and trees on their way there.

A deployment is sent once. Calls of it wait here, not there, until the host has its trees: what has not been written can
be sent elsewhere.
"""

import asyncio
import logging
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

import orjson

from cloudserve.core.trees import BadTree
from cloudserve.sandbox.abc import Deployment
from cloudserve.sandbox.failures import Failure
from cloudserve.sandbox.heads import write_head
from cloudserve.sandbox.protocol import HEADER, WHOLE_BYTES, ProtocolError
from cloudserve.sandbox.remote import wire
from cloudserve.sandbox.remote.archives import Archives, Shipping
from cloudserve.sandbox.remote.documents import write_deployment
from cloudserve.sandbox.remote.link import Link
from cloudserve.sandbox.remote.placed import PlacedCall
from cloudserve.sandbox.remote.reports import Report
from cloudserve.sandbox.remote.streams import Outflow
from cloudserve.sandbox.remote.wire import CALL_HEAD, FIRST_TREE, RESULT, frame

DEPLOY_SECONDS: Final = 60.0
"""How long a host may take to get a deployment's trees."""

MOST_DEPLOYED: Final = 20_000

_WHOLE_CALL: Final = struct.Struct(HEADER.format + CALL_HEAD.format.removeprefix(">"))
_LAST_NUMBER: Final = FIRST_TREE - 1

_ON_CALLS: Final[dict[int, Callable[[PlacedCall, bytes], None]]] = {
    wire.HEAD: PlacedCall.head,
    wire.PART: PlacedCall.part,
    wire.END: PlacedCall.close,
    wire.LOG: PlacedCall.log,
    wire.FAILED: PlacedCall.failed,
    wire.CREDIT: PlacedCall.credit,
}

_log = logging.getLogger(__name__)


class CallingLink(Link):
    """A connection to one host. `on_change` is called when that can be used, or not any more, and with its reports."""

    def __init__(self, name: str, *, peer: str, archives: Archives, on_change: Callable[[Report | None], None]) -> None:
        super().__init__(name)
        self.calls: dict[int, PlacedCall] = {}
        self.welcome: asyncio.Future[None] = self._loop.create_future()
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self._draining = False
        self._peer = peer
        self._archives = archives
        self._on_change = on_change
        self._last_call = 0
        self._last_deployment = 0
        self._deployed: dict[str, _Deployed] = {}
        self._numbers: dict[int, _Deployed] = {}
        self._shipping = Shipping(self)

    @property
    def usable(self) -> bool:
        """Whether calls may be sent."""
        return self.is_open and self.welcome.done() and not self._draining

    @property
    def waiting(self) -> int:
        """The calls that wait until the host has what they need."""
        return sum(len(deployed.waiting) for deployed in self._numbers.values())

    def place(self, call: PlacedCall) -> None:
        """Takes a call: writes it, as soon as the host can take it."""
        deployment = call.deployment
        deployed = self._deployed.get(deployment.version_id)
        if deployed is None or deployed.deployment is not deployment:
            deployed = self._deploy(deployment)
        if deployed.ready:
            self._begin(call, deployed)
        else:
            call.waits_in = deployed.waiting
            deployed.waiting[call] = None

    def retire(self, function_id: str, keep_version: str | None) -> None:
        """Has the host end the workers of a function but those of one version."""
        for version_id, deployed in list(self._deployed.items()):
            if deployed.deployment.function_id == function_id and version_id != keep_version:
                self._forget(deployed)
        self.send(frame(wire.RETIRE, 0, orjson.dumps({"functionId": function_id, "keepVersion": keep_version})))

    def fail_all(self, failure: Failure) -> None:
        """Fails the calls that wait or are under way."""
        waiting = [call for deployed in self._numbers.values() for call in deployed.waiting]
        for call in [*waiting, *self.calls.values()]:
            call.fail(failure)

    def tick(self) -> None:
        super().tick()
        self.send(frame(wire.PING, 0))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.send(frame(wire.HELLO, 0, orjson.dumps({"version": wire.VERSION, "peer": self._peer})))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.lost.done():
            self.lost.set_result(None)
        if not self.welcome.done():
            self.welcome.set_exception(ConnectionResetError(f"{self.name} has closed the connection{_why(exc)}"))
            self.welcome.exception()
        self._shipping.close()
        self._on_change(None)
        for deployed in list(self._numbers.values()):
            self._refuse(deployed, "was lost")
        for call in list(self.calls.values()):
            call.fail(Failure("sandbox-lost", "The sandbox host that ran the call was lost before it had answered."))

    def take(self, kind: int, number: int, payload: bytes) -> None:
        if kind == RESULT:
            call = self.calls.get(number)
            if call is not None:
                call.result(payload)
        elif kind in (wire.WELCOME, wire.PONG):
            self._report(payload)
        elif not self.welcome.done():
            raise ProtocolError("it does not welcome")
        elif kind == wire.WANT or number >= FIRST_TREE:
            self._shipping.take(kind, number, payload)
        elif kind == wire.READY:
            self._ready(number)
        elif kind == wire.REFUSED:
            if number in self._numbers:
                self._refuse(self._numbers[number], payload.decode())
        elif kind == wire.DRAIN:
            self._drain()
        else:
            self._of_call(kind, number, payload)

    # -- frames --------------------------------------------------------------------------------------------------

    def _of_call(self, kind: int, number: int, payload: bytes) -> None:
        call = self.calls.get(number)
        if kind == wire.DECLINED:
            if call is not None:
                call.not_begun(_not_taken(payload.decode()))
        elif kind not in _ON_CALLS:
            raise ProtocolError(f"a frame of type {kind}")
        elif call is not None:
            _ON_CALLS[kind](call, payload)
        if self._draining:
            self._leave()

    def _report(self, payload: bytes) -> None:
        report = Report.read(payload)
        if not self.welcome.done():
            self.welcome.set_result(None)
        self._on_change(report)
        if report.draining:
            self._drain()

    def _drain(self) -> None:
        if not self._draining:
            self._draining = True
            self._on_change(None)
            for deployed in list(self._numbers.values()):
                self._refuse(deployed, "is going away")
        self._leave()

    def _leave(self) -> None:
        """Ends the connection to a host that goes away, when it has answered."""
        if not self.calls:
            self.close()

    # -- deployments ---------------------------------------------------------------------------------------------

    def _deploy(self, deployment: Deployment) -> "_Deployed":
        """Returns what is sent of a deployment; begins to send it when it was not."""
        deployed = self._deployed.get(deployment.version_id)
        if deployed is not None:
            if deployed.deployment == deployment:
                deployed.deployment = deployment
                return deployed
            self._forget(deployed)  # the same version with another environment, such as a changed secret
        elif len(self._deployed) >= MOST_DEPLOYED:
            self._forget(next(iter(self._deployed.values())))
        self._last_deployment += 1
        deployed = _Deployed(self._last_deployment, deployment)
        self._deployed[deployment.version_id] = self._numbers[deployed.number] = deployed
        deployed.task = self._loop.create_task(self._send_deployment(deployed))
        return deployed

    async def _send_deployment(self, deployed: "_Deployed") -> None:
        deployment = deployed.deployment
        try:
            names = [await self._name(tree) for tree in (deployment.code, deployment.layer) if tree is not None]
            document = write_deployment(deployment, names[0], names[1] if len(names) > 1 else None)
        except (OSError, BadTree) as error:
            _log.warning("version %s can't be sent to %s: %s", deployment.version_id, self.name, error)
            self._refuse(deployed, "could not be sent the version's files")
            return
        if len(document) > wire.MAX_FRAME_BYTES:
            self._refuse(deployed, f"can't take an environment of more than {wire.MAX_FRAME_BYTES} bytes")
            return
        self.send(frame(wire.DEPLOY, deployed.number, document))
        await asyncio.sleep(DEPLOY_SECONDS)
        self._refuse(deployed, f"did not have the version's files within {DEPLOY_SECONDS:g} s")

    async def _name(self, tree: Path) -> str:
        name = await self._archives.name(tree)
        self._shipping.allow(name, tree)
        return name

    def _ready(self, number: int) -> None:
        deployed = self._numbers.get(number)
        if deployed is None:
            return
        deployed.ready = True
        deployed.end_task()
        for call in list(deployed.waiting):
            self._begin(call, deployed)
        deployed.waiting.clear()
        if self._deployed.get(deployed.deployment.version_id) is not deployed:
            self._forget(deployed)

    def _forget(self, deployed: "_Deployed") -> None:
        """Sends no new calls of a deployment; those that wait for it still go."""
        if self._deployed.get(deployed.deployment.version_id) is deployed:
            del self._deployed[deployed.deployment.version_id]
        if deployed.ready and self._numbers.pop(deployed.number, None) is not None:
            self.send(frame(wire.FORGET, deployed.number))

    def _refuse(self, deployed: "_Deployed", why: str) -> None:
        """Takes note that a host has no use for a deployment; the calls that wait for it go elsewhere."""
        deployed.end_task()
        self._numbers.pop(deployed.number, None)
        if self._deployed.get(deployed.deployment.version_id) is deployed:
            del self._deployed[deployed.deployment.version_id]
        for call in list(deployed.waiting):
            call.not_begun(_not_taken(f"{self.name} {why}"))

    # -- calls ---------------------------------------------------------------------------------------------------

    def _begin(self, placed: PlacedCall, deployed: "_Deployed") -> None:
        self._last_call = number = self._last_call % _LAST_NUMBER + 1
        placed.waits_in, placed.link, placed.number = None, self, number
        self.calls[number] = placed
        flags = wire.MAY_WAIT if placed.may_wait else 0
        call = placed.call
        if call is None:
            self.send(frame(wire.WARM, number, CALL_HEAD.pack(deployed.number, flags, 0)))
            return
        head, body = write_head(call), call.body
        if isinstance(body, bytes) and len(body) <= WHOLE_BYTES:
            size = len(head)
            length = CALL_HEAD.size + size + len(body)
            self.send(b"".join((_WHOLE_CALL.pack(length, wire.CALL, number, deployed.number, flags, size), head, body)))
        else:
            placed.outflow = Outflow(self, number)
            self.send(frame(wire.OPEN, number, CALL_HEAD.pack(deployed.number, flags, len(head)), head))


class _Deployed:
    """A deployment on its way to the host, or there; `waiting` are the calls that wait for it."""

    def __init__(self, number: int, deployment: Deployment) -> None:
        self.number = number
        self.deployment = deployment
        self.ready = False
        self.waiting: dict[PlacedCall, None] = {}
        self.task: asyncio.Task[None] | None = None

    def end_task(self) -> None:
        """Ends the sending, and the wait for what the host says to it."""
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()


def _not_taken(why: str) -> Failure:
    return Failure("no-sandbox", f"No sandbox host could take the call: {why}.", retry_after=1)


def _why(error: Exception | None) -> str:
    return "" if error is None else f" ({error})"
