"""Objects that are trees, unpacked on this host.

A tree is fetched, verified and unpacked once, however many tasks and processes ask for it at the same time, and lies
in a folder named by its hash from then on. The folder appears whole, by rename. Trees of an earlier boot are not
trusted: they were never synced to the disk, so that a power cut may have left files empty.
"""

import asyncio
import os
import re
import shutil
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from cloudserve.core.ids import new_id
from cloudserve.core.objects.abc import Corrupt, ObjectsUnavailable
from cloudserve.core.trees import BadTree, unpack_tree

_HASH: Final = re.compile(r"[0-9a-f]{64}")
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_DRAFT: Final = "."
_ABANDONED_SECONDS: Final = 3600
_BLOCK: Final = 512  # bytes, whatever the file system's own block size (stat(2))


class Fetches(Protocol):
    """Where archives come from: an object store (`Objects.fetch`), or whoever else has them."""

    async def fetch(self, key: str, target: Path, *, sha256: str) -> object:
        """Writes an archive to a file that does not exist yet, verified. Raises `ObjectsError`."""


class TreeCache:
    """The trees below the folder `root`, from `objects`. Several processes may share the folder."""

    def __init__(self, root: Path, objects: Fetches) -> None:
        self._root = root
        self._trees = root / _boot()
        self._objects = objects
        self._under_way: dict[str, asyncio.Task[Path]] = {}

    async def get(self, key: str, sha256: str) -> Path:
        """Returns the folder of an object's tree; nobody may change what is in it.

        It stays until an eviction that does not keep `sha256`. Raises `Missing`, `Corrupt` (also for what can't be
        unpacked safely) or `ObjectsUnavailable`; nothing of a failure stays, so that the next call tries again.
        """
        if not _HASH.fullmatch(sha256):
            raise ValueError(f"not a SHA-256 in hex: {sha256!r}")
        folder = self._trees / sha256
        try:
            os.utime(folder)  # tells when it was used last
        except OSError:
            pass  # not there, or not to be had, which `_make` will tell
        else:
            return folder
        task = self._under_way.get(sha256)
        if task is None:
            task = self._under_way[sha256] = asyncio.create_task(self._make(key, sha256, folder))
            task.add_done_callback(lambda done: self._ended(sha256, done))
        # One caller's cancellation is not that of the others.
        return await asyncio.shield(task)

    async def keep_only(self, hashes: Collection[str]) -> None:
        """Deletes every tree but those of `hashes`, and what crashes have left."""
        await self.shrink(0, keep=hashes)

    async def shrink(self, max_bytes: int, *, keep: Collection[str]) -> None:
        """Deletes the trees used longest ago until at most `max_bytes` are taken, and what crashes have left.

        Those of `keep` stay in any case: name the ones that are in use.
        """
        await asyncio.to_thread(self._shrink, max_bytes, frozenset(keep))

    async def _make(self, key: str, sha256: str, folder: Path) -> Path:
        archive = self._trees / f"{_DRAFT}{sha256}.{new_id()}.tar.gz"
        try:
            if not self._trees.is_dir():
                await asyncio.to_thread(self._trees.mkdir, mode=0o755, parents=True, exist_ok=True)
            await self._objects.fetch(key, archive, sha256=sha256)
            with suppress(FileExistsError):  # another process was first, and its tree is as good
                await asyncio.to_thread(unpack_tree, archive, folder)
        except BadTree as error:
            raise Corrupt(f"the object {key} can't be unpacked: {error}") from error
        except OSError as error:
            raise ObjectsUnavailable(f"the object {key} can't be unpacked: {error.strerror}") from error
        finally:
            with suppress(OSError):  # what stays is swept later
                archive.unlink()
        return folder

    def _ended(self, sha256: str, task: asyncio.Task[Path]) -> None:
        del self._under_way[sha256]
        if not task.cancelled():
            task.exception()  # seen, also when every caller has gone

    def _shrink(self, max_bytes: int, keep: frozenset[str]) -> None:
        _remove(folder for folder in _entries(self._root) if folder != self._trees)
        abandoned = time.time() - _ABANDONED_SECONDS
        entries = _entries(self._trees)
        drafts = [entry for entry in entries if entry.name.startswith(_DRAFT)]
        _remove(draft for draft in drafts if _used(draft) < abandoned)
        trees = sorted((entry for entry in entries if _HASH.fullmatch(entry.name)), key=_used)
        sizes = {tree: _size(tree) for tree in trees}
        excess = sum(sizes.values()) - max_bytes
        for tree in trees:
            if excess <= 0:
                break
            if tree.name not in keep:
                # Out of sight first: a tree is there whole or not at all.
                grave = tree.with_name(f"{_DRAFT}{tree.name}.{new_id()}")
                with suppress(FileNotFoundError):  # another process is evicting too
                    tree.rename(grave)
                _remove([grave])
                excess -= sizes[tree]


def _boot() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except FileNotFoundError:
        return "boot"  # a system that does not tell its boots apart


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0


def _size(tree: Path) -> int:
    size = 0
    for root, folders, files in os.walk(tree):
        for name in (*folders, *files):
            with suppress(FileNotFoundError):  # another process is evicting it
                size += Path(root, name).lstat().st_blocks * _BLOCK
    return size
