"""A gateway's trees as archives: what they are named by on the wire, and how they get to a host that lacks them.

A tree's name is the SHA-256 of its archive, made of the folder each time: equal trees make equal archives
(`core/trees`), so nothing but the folder has to be kept. Two gateways whose zlib packs differently name one tree twice,
which costs a host the room, and nothing else.
"""

import asyncio
import hashlib
import logging
import tempfile
from pathlib import Path
from typing import Final

from cloudserve.core.trees import BadTree, write_tree
from cloudserve.sandbox.protocol import PART_BYTES, ProtocolError
from cloudserve.sandbox.remote import wire
from cloudserve.sandbox.remote.link import Link
from cloudserve.sandbox.remote.streams import Outflow

_LEVEL: Final = 0
"""Packed fast, not small: naming a tree means packing it, and hosts are near."""

_KEPT_NAMES: Final = 20_000

_log = logging.getLogger(__name__)


class Archives:
    """Names trees. No folder may change after it was named."""

    def __init__(self) -> None:
        self._names: dict[Path, asyncio.Task[str]] = {}

    async def name(self, folder: Path) -> str:
        """Returns the SHA-256 of a folder's archive, in hex. Raises OSError or `BadTree`."""
        task = self._names.get(folder)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            if len(self._names) >= _KEPT_NAMES:
                self._names.clear()
            task = self._names[folder] = asyncio.create_task(asyncio.to_thread(_name, folder))
        return await asyncio.shield(task)  # one caller's cancellation is not that of the others


class Shipping:
    """The trees that one host is sent over one connection: those that it was told of, when it asks for them."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._allowed: dict[str, Path] = {}
        self._under_way: dict[int, tuple[Outflow, asyncio.Task[None]]] = {}

    def allow(self, name: str, folder: Path) -> None:
        """Says that the host may ask for a tree."""
        self._allowed[name] = folder

    def take(self, kind: int, number: int, payload: bytes) -> None:
        """Takes a frame that is about a tree. Raises `ProtocolError`."""
        outflow, task = self._under_way.get(number, (None, None))
        if kind == wire.WANT:
            folder = self._allowed.get(payload.hex())
            if folder is None or task is not None:
                raise ProtocolError("it wants a tree that no deployment has named")
            outflow = Outflow(self._link, number)
            self._under_way[number] = outflow, asyncio.create_task(self._send(folder, outflow, number))
        elif kind not in (wire.CREDIT, wire.CANCEL):
            raise ProtocolError(f"a frame of type {kind} of a tree")
        elif outflow is None or task is None:
            return  # it has been sent
        elif kind == wire.CREDIT:
            outflow.credit(payload)
        else:
            task.cancel()

    def close(self) -> None:
        """Ends what is under way."""
        for _, task in self._under_way.values():
            task.cancel()

    async def _send(self, folder: Path, outflow: Outflow, number: int) -> None:
        try:
            with tempfile.TemporaryFile() as archive:
                await asyncio.to_thread(write_tree, folder, archive, level=_LEVEL)
                archive.seek(0)
                while part := archive.read(PART_BYTES):
                    await outflow.send(part)
            self._link.send(wire.frame(wire.END, number))
        except (OSError, BadTree) as error:
            _log.warning("a tree can't be sent to %s: %s", self._link.name, error)
            self._link.send(wire.frame(wire.CANCEL, number))
        finally:
            del self._under_way[number]


class _Hash:
    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return len(data)


def _name(folder: Path) -> str:
    sink = _Hash()
    write_tree(folder, sink, level=_LEVEL)
    return sink.digest.hexdigest()
