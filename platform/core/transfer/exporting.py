"""Writes all of a home into one file, which appears when it is whole.

The home may be in use: each owner and each function goes along as it was at one time (`snapshots`), and its objects,
which never change, with it. What is made or changed after it was read is not in the file.
"""

import asyncio
import gzip
import tempfile
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Final

from cloudserve.core.auth.sealing import SealBroken, Sealer
from cloudserve.core.ids import new_id
from cloudserve.core.models.function import Function
from cloudserve.core.models.owner import Owner
from cloudserve.core.objects.abc import Corrupt, Missing
from cloudserve.core.transfer.counts import Counts
from cloudserve.core.transfer.failures import TransferError
from cloudserve.core.transfer.head import HEAD, HISTORY, OBJECTS, ROWS, Head
from cloudserve.core.transfer.home import Home, Progress, silent
from cloudserve.core.transfer.lines import CarriedOwner, FunctionParts, HistoryLine, Line, OwnerParts, RowsLine
from cloudserve.core.transfer.passphrase import new_sealing
from cloudserve.core.transfer.settings import carried
from cloudserve.core.transfer.snapshots import snapshot
from cloudserve.core.transfer.writer import ArchiveWriter
from cloudserve.core.version import VERSION

_PAGE: Final = 200


async def export(
    home: Home, target: Path, *, passphrase: str, history: bool = False, on_progress: Progress = silent
) -> Counts:
    """Writes the file `target`, mode 0600; `history` is whether the records of calls go along.

    Beside it there is room needed for the rows and the largest object. Raises `FileExistsError` when it is there
    already, `TransferError`, `StoreError`, `ObjectsError` or OSError; nothing of a failure stays.
    """
    _refuse_existing(target)
    sealing, sealer = await asyncio.to_thread(new_sealing, passphrase)
    head = Head(made_by=VERSION, sealing=sealing, settings=carried(home.settings))
    draft = target.with_name(f".{target.name}.{new_id()}")
    try:
        with (
            tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder,
            draft.open("xb") as file,
        ):
            await asyncio.to_thread(draft.chmod, 0o600)
            writer = ArchiveWriter(file)
            writer.add(HEAD, head.content())
            exported = await _Export(home, sealer, writer, Path(folder), on_progress).run(history)
            await asyncio.to_thread(writer.finish)
            exported.size = writer.size
        _refuse_existing(target)
        draft.rename(target)
    finally:
        draft.unlink(missing_ok=True)
    return exported


def _refuse_existing(target: Path) -> None:
    if target.exists():
        raise FileExistsError(f"{target} exists")


class _Export:
    """One export: what it reads, where it writes, and how far it is."""

    def __init__(self, home: Home, sealer: Sealer, writer: ArchiveWriter, folder: Path, on_progress: Progress) -> None:
        self._home = home
        self._sealer = sealer
        self._writer = writer
        self._folder = folder
        self._on_progress = on_progress
        self._done = Counts()

    async def run(self, history: bool) -> Counts:
        rows, calls = _Lines(self._folder / ROWS), _Lines(self._folder / HISTORY)
        with closing(rows), closing(calls):
            async for owner in self._owners():
                rows.add(await self._owner(owner))
                for function in await self._home.store.functions.list(owner.id):
                    line = await self._function(function)
                    if line is None:
                        continue
                    rows.add(line)
                    if history:
                        await self._history(function, calls)
        await asyncio.to_thread(self._writer.add, ROWS, rows.path)
        if history:
            await asyncio.to_thread(self._writer.add, HISTORY, calls.path)
        return self._done

    async def _owners(self) -> AsyncIterator[Owner]:
        cursor = None
        while True:
            page = await self._home.store.owners.list(limit=_PAGE, cursor=cursor)
            for owner in page.rows:
                yield owner
            cursor = page.next_cursor
            if cursor is None:
                return

    async def _owner(self, owner: Owner) -> RowsLine:
        # A key of the platform's own opens the platform it was made for, and no other.
        keys = [key for key in await self._home.store.keys.list(owner.id) if key.kind != "machine"]
        self._done.owners += 1
        self._done.keys += len(keys)
        return RowsLine(owner=OwnerParts(owner=CarriedOwner.model_validate(owner.model_dump()), keys=keys))

    async def _function(self, function: Function) -> RowsLine | None:
        """Writes a function's objects and returns its line; None when it was deleted meanwhile."""
        missed: str | None = None
        while True:
            parts = await snapshot(self._home.store, function.owner_id, function.id)
            if parts is None:
                return None
            needed = parts.objects()
            if missed in needed:
                raise TransferError(
                    f"The object {missed} of the function {function.name} is missing in the object store. Remedy: put "
                    "a backup of it in its place, or delete the function."
                )
            try:
                for key, sha256 in needed.items():
                    missed = key
                    await self._object(key, sha256)
            except Missing:
                continue  # it may have been collected since the rows were read: then they are other rows by now
            except Corrupt as error:
                raise TransferError(
                    f"{error} (of the function {function.name}). Remedy: put a backup in its place."
                ) from error
            self._done.functions += 1
            self._done.versions += len(parts.versions)
            self._done.secrets += len(parts.secrets)
            self._done.builds += len(parts.builds)
            self._on_progress("rows", self._done.functions, None)
            return RowsLine(function=self._sealed(parts))

    async def _object(self, key: str, sha256: str) -> None:
        if f"{OBJECTS}{key}" in self._writer:
            return
        copy = self._folder / new_id()
        try:
            await self._home.objects.fetch(key, copy, sha256=sha256)
            await asyncio.to_thread(self._writer.add, f"{OBJECTS}{key}", copy)
        finally:
            copy.unlink(missing_ok=True)
        self._done.objects += 1
        self._on_progress("objects", self._writer.size, None)

    def _sealed(self, parts: FunctionParts) -> FunctionParts:
        """Seals the secrets with the export's key, of which the home's own tells nothing."""
        for secret in parts.secrets:
            place = f"{secret.function_id}/{secret.name}"
            try:
                value = self._home.sealer.open(secret.ciphertext, context=place)
            except SealBroken:
                raise TransferError(
                    f"The secret {secret.name} of the function {parts.function.name} can't be opened with this "
                    "platform's secrets key. Remedy: set it anew, or delete it."
                ) from None
            secret.ciphertext = self._sealer.seal(value, context=place)
        return parts

    async def _history(self, function: Function, lines: "_Lines") -> None:
        store, ids, cursor = self._home.store, (function.owner_id, function.id), None
        while True:
            usages = await store.usages.list(*ids, limit=_PAGE, cursor=cursor)
            self._add([HistoryLine(usage=usage) for usage in usages.rows], lines)
            cursor = usages.next_cursor
            if cursor is None:
                break
        while True:
            logs = await store.logs.list(*ids, limit=_PAGE, cursor=cursor)
            self._add([HistoryLine(log=log) for log in logs.rows], lines)
            cursor = logs.next_cursor
            if cursor is None:
                break

    def _add(self, records: list[HistoryLine], lines: "_Lines") -> None:
        for record in records:
            lines.add(record)
        self._done.calls += len(records)
        self._on_progress("history", self._done.calls, None)


class _Lines:
    """A gzipped file of lines, made the same from the same lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._raw = path.open("xb")
        self._lines = gzip.GzipFile(filename="", mode="wb", fileobj=self._raw, mtime=0)

    def add(self, line: Line) -> None:
        """Adds a line."""
        self._lines.write(line.content())

    def close(self) -> None:
        """Ends the file."""
        self._lines.close()
        self._raw.close()
