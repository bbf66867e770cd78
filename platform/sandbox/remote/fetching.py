"""A host's way to the trees that it lacks: from whichever gateway has named them, once however many ask.

`TreeCache` does the rest: a tree is fetched once, verified against its hash, unpacked whole and evicted.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from cloudserve.core.objects.abc import Corrupt, ObjectsUnavailable

_BATCH_BYTES: Final = 1024 * 1024

_log = logging.getLogger(__name__)


class Source(Protocol):
    """A gateway that has trees."""

    def want(self, sha256: str) -> AsyncIterator[bytes]:
        """Yields the archive of a tree. Raises ConnectionResetError when it breaks off."""


class Fetching:
    """What `TreeCache` fetches from: the gateways that have named a tree and are still connected."""

    def __init__(self) -> None:
        self._sources: dict[str, dict[Source, None]] = {}

    def offer(self, sha256: str, source: Source) -> None:
        """Says that a gateway has a tree."""
        self._sources.setdefault(sha256, {})[source] = None

    def withdraw(self, source: Source) -> None:
        """Says that a gateway is gone."""
        for sha256, sources in list(self._sources.items()):
            sources.pop(source, None)
            if not sources:
                del self._sources[sha256]

    async def fetch(self, key: str, target: Path, *, sha256: str) -> None:
        """Writes an archive to a file that does not exist yet.

        Raises `Corrupt` when no gateway had the right content, `ObjectsUnavailable` when none had any.
        """
        failed: Exception = ObjectsUnavailable(f"no gateway has the tree {key}")
        for source in list(self._sources.get(sha256, ())):
            try:
                if await _write(source.want(sha256), target) == sha256:
                    return
                failed = Corrupt(f"the tree {key} came with another hash")
            except ConnectionResetError as error:
                failed = ObjectsUnavailable(f"the tree {key} did not come: {error}")
            await asyncio.to_thread(target.unlink, missing_ok=True)
            _log.warning("%s", failed)
        raise failed


async def _write(archive: AsyncIterator[bytes], target: Path) -> str:
    """Writes an archive and returns its hash; in batches off the event loop, which has calls to serve."""
    digest = hashlib.sha256()
    batch = bytearray()

    def put(file: BinaryIO, data: bytes) -> None:
        digest.update(data)
        file.write(data)

    with await asyncio.to_thread(target.open, "xb") as file:
        async for part in archive:
            batch += part
            if len(batch) >= _BATCH_BYTES:
                await asyncio.to_thread(put, file, bytes(batch))
                batch.clear()
        await asyncio.to_thread(put, file, bytes(batch))
    return digest.hexdigest()
