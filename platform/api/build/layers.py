"""Dependency layers: made once for each content of a lock, and shared by every version that has it.

A layer's name, its `depHash`, says what it holds, so a layer that is there already is never made again.
"""

import asyncio
import hashlib
import json
import platform
import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from cloudserve.api.build.exclusive import exclusive
from cloudserve.core.ids import new_id
from cloudserve.core.objects.abc import ObjectInfo, Objects
from cloudserve.core.trees import pack_tree


def layer_key(dep_hash: str) -> str:
    """Returns the key of a layer."""
    return f"deps/{dep_hash}/layer.tar.gz"


def dep_hash(*, abi: str, installer: str, packages: Sequence[str]) -> str:
    """Returns the SHA-256, in hex, of what makes a layer what it is.

    That is the runtime's ABI tag, the operating system with its C library and processor, the installer, and the locked
    packages with their integrity hashes, one string each, in any order.
    """
    host = [sys.platform, platform.libc_ver()[0] or "libc", platform.machine()]
    content = json.dumps([abi, *host, installer, sorted(packages)], separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()


class Layers:
    """Makes layers in the folder `drafts` and keeps them in the object store.

    The folder `locks` is the same for all processes that have the object store in common.
    """

    def __init__(self, objects: Objects, *, drafts: Path, locks: Path) -> None:
        self._objects = objects
        self._drafts = drafts
        self._locks = locks

    async def start(self) -> None:
        """Makes its folders."""
        for folder in (self._drafts, self._locks):
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)

    async def ensure(self, name: str, make: Callable[[Path], Awaitable[None]]) -> ObjectInfo:
        """Returns the layer with the depHash `name`; where there is none, `make` fills the new folder it is given.

        However many ask at once, in however many processes of this host, it is made once.
        """
        found = await self._find(name)
        if found is not None:
            return found
        async with exclusive(self._locks / f"{name}.lock"):
            found = await self._find(name)
            return found if found is not None else await self._make(name, make)

    async def _find(self, name: str) -> ObjectInfo | None:
        found = await self._objects.stat(layer_key(name))
        # Touched, so that it is not collected before the version that needs it is stored.
        return found if found is not None and await self._objects.touch(layer_key(name)) else None

    async def _make(self, name: str, make: Callable[[Path], Awaitable[None]]) -> ObjectInfo:
        draft = self._drafts / f"{name}.{new_id()}"
        content, archive = draft / "layer", draft / "layer.tar.gz"
        await asyncio.to_thread(content.mkdir, parents=True)
        try:
            await make(content)
            await asyncio.to_thread(pack_tree, content, archive)
            return await self._objects.put(layer_key(name), archive)
        finally:
            await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)
