"""A sandbox host's end of a connection with a gateway."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from cloudserve.core.objects.abc import ObjectsError
from cloudserve.sandbox.abc import Deployment
from cloudserve.sandbox.protocol import ProtocolError
from cloudserve.sandbox.remote import wire
from cloudserve.sandbox.remote.documents import Arrived, read_deployment
from cloudserve.sandbox.remote.link import Link
from cloudserve.sandbox.remote.served import ServedCall
from cloudserve.sandbox.remote.streams import Inflow
from cloudserve.sandbox.remote.tls import GATEWAY, is_gateway
from cloudserve.sandbox.remote.wire import CALL_HEAD, FIRST_TREE, frame

if TYPE_CHECKING:
    from cloudserve.sandbox.remote.host import SandboxHost

_CALL_HEAD_BYTES: Final = CALL_HEAD.size

_log = logging.getLogger(__name__)


class ServingLink(Link):
    """A connection from a gateway. `peer` is the gateway's own word for itself, the same on all its connections."""

    def __init__(self, host: "SandboxHost", *, tls: bool) -> None:
        super().__init__("a gateway")
        self.peer = ""
        self.calls: dict[int, ServedCall] = {}
        self._host = host
        self._tls = tls
        self._deployments: dict[int, Deployment] = {}
        self._arriving: dict[int, asyncio.Task[None]] = {}
        self._wanted: dict[int, Inflow] = {}
        self._last_tree = FIRST_TREE - 1

    @property
    def trees(self) -> set[str]:
        """The hashes of the trees that deployments of this gateway have."""
        return {tree.name for one in self._deployments.values() for tree in (one.code, one.layer) if tree is not None}

    @property
    def versions(self) -> set[str]:
        """The versions that this gateway has deployed."""
        return {deployment.version_id for deployment in self._deployments.values()}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.name = f"the gateway at {transport.get_extra_info('peername')}"
        if self._tls and not is_gateway(transport.get_extra_info("peercert")):
            self.abort(f"its certificate is not for {GATEWAY}")
        else:
            self._host.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for task in self._arriving.values():
            task.cancel()
        for wanted in self._wanted.values():
            wanted.end("the gateway was lost")
        for call in list(self.calls.values()):
            call.cancel()
        self._host.left(self)

    def take(self, kind: int, number: int, payload: bytes) -> None:
        if kind == wire.CALL:
            self._call(number, payload)
        elif not self.peer:
            self._hello(kind, payload)
        elif number >= FIRST_TREE:
            self._of_tree(kind, number, payload)
        elif kind == wire.PING:
            self.send(frame(wire.PONG, 0, self._host.report(self.peer).write()))
        elif kind == wire.DEPLOY:
            self._deploy(number, read_deployment(payload))
        elif kind == wire.FORGET:
            self._deployments.pop(number, None)
        elif kind == wire.RETIRE:
            self._retire(wire.document(payload))
        elif kind in (wire.OPEN, wire.WARM):
            self._call(number, payload, kind)
        else:
            self._of_call(kind, number, payload)

    def drain(self) -> None:
        """Tells the gateway that no new calls are taken."""
        if self.peer:
            self.send(frame(wire.DRAIN, 0))

    def over(self, number: int) -> None:
        """Takes note that a call has ended."""
        if self.calls.pop(number, None) is not None:
            self._host.ended(self.peer)

    def want(self, sha256: str) -> AsyncIterator[bytes]:
        """Yields the archive of a tree, from the gateway. Raises ConnectionResetError when it breaks off."""
        self._last_tree = number = max(FIRST_TREE, (self._last_tree + 1) & 0xFFFFFFFF)
        inflow = self._wanted[number] = Inflow(self, number)
        if not self.is_open:
            inflow.end("the gateway was lost")
        self.send(frame(wire.WANT, number, bytes.fromhex(sha256)))
        inflow.open()
        return inflow

    # -- frames --------------------------------------------------------------------------------------------------

    def _hello(self, kind: int, payload: bytes) -> None:
        if kind != wire.HELLO:
            raise ProtocolError("it does not say hello")
        found = wire.document(payload)
        peer = found.get("peer")
        self.send(frame(wire.WELCOME, 0, self._host.report(str(peer)).write()))
        if found.get("version") != wire.VERSION or not isinstance(peer, str) or not peer:
            _log.warning("%s speaks another version of the protocol than %d", self.name, wire.VERSION)
            self.close()
            return
        self.peer = peer

    def _of_call(self, kind: int, number: int, payload: bytes) -> None:
        if kind not in (wire.PART, wire.END, wire.CREDIT, wire.CANCEL):
            raise ProtocolError(f"a frame of type {kind}")
        call = self.calls.get(number)
        if call is None:
            return  # it has been answered
        if kind == wire.PART:
            call.part(payload)
        elif kind == wire.END:
            call.end_body()
        elif kind == wire.CREDIT:
            call.credit(payload)
        else:
            call.cancel()

    def _call(self, number: int, payload: bytes, kind: int = wire.CALL) -> None:
        deployed, flags, size = CALL_HEAD.unpack_from(payload)
        deployment = self._deployments.get(deployed)
        if not self.peer or number in self.calls:
            raise ProtocolError("a call before hello, or a second one of its number")
        why = self._host.declines(deployment, flags)
        if deployment is None or why is not None:
            self.send(frame(wire.DECLINED, number, (why or "").encode()))
            return
        call = self.calls[number] = ServedCall(self, number)
        self._host.begun(self.peer)
        end = _CALL_HEAD_BYTES + size
        head = payload[_CALL_HEAD_BYTES:end]
        if kind == wire.CALL:
            call.begin(self._host.sandbox, deployment, head, payload[end:])
        elif kind == wire.OPEN:
            call.open(self._host.sandbox, deployment, head)
        else:
            call.warm(self._host.sandbox, deployment)

    def _of_tree(self, kind: int, number: int, payload: bytes) -> None:
        inflow = self._wanted.get(number)
        if kind not in (wire.PART, wire.END, wire.CANCEL):
            raise ProtocolError(f"a frame of type {kind} of a tree")
        if inflow is None:
            return
        if kind == wire.PART:
            inflow.take(payload)
            return
        del self._wanted[number]
        inflow.end(None if kind == wire.END else "the gateway can't send it")

    def _retire(self, found: dict[str, Any]) -> None:
        function_id, keep = found.get("functionId"), found.get("keepVersion")
        if not isinstance(function_id, str) or not isinstance(keep, str | None):
            raise ProtocolError("a retirement that can't be read")
        self._host.retire(function_id, keep)

    # -- deployments ---------------------------------------------------------------------------------------------

    def _deploy(self, number: int, arrived: Arrived) -> None:
        for tree in (arrived.code, arrived.layer):
            if tree is not None:
                self._host.fetching.offer(tree, self)
        task = asyncio.get_running_loop().create_task(self._arrive(number, arrived))
        self._arriving[number] = task
        task.add_done_callback(lambda _: self._arriving.pop(number, None))

    async def _arrive(self, number: int, arrived: Arrived) -> None:
        """Gets a deployment's trees, and says that its calls may come."""
        trees = self._host.trees
        try:
            wanted = [trees.get(tree, tree) for tree in (arrived.code, arrived.layer) if tree is not None]
            code, *layer = await asyncio.gather(*wanted)
            self._deployments[number] = self._host.known(arrived.placed(code, layer[0] if layer else None))
            self.send(frame(wire.READY, number))
        except (ObjectsError, ProtocolError, OSError) as error:
            _log.warning("a version of function %s can't be served: %s", arrived.function_id, error)
            self.send(frame(wire.REFUSED, number, b"could not get the version's files"))
