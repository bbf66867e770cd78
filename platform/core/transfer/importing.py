"""Brings an export into a home, after all of it was looked at: what is damaged or in the way is found before anything.

Adding is ordered so that a home in use never sees a part without what it needs: objects before the versions that name
them, a function without a live version before its versions, its live version after them, and builds, which a worker
takes up at once, last. Each step leaves alone what is there already, so an import that was cut off is run again, and
one that is repeated adds nothing. What was deleted here since an earlier import of the same file comes back.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from cloudserve.core.store.abc import Gone, Taken
from cloudserve.core.transfer.counts import Counts
from cloudserve.core.transfer.exported import ExportFile
from cloudserve.core.transfer.failures import Conflict, Conflicting, Damaged, TransferError
from cloudserve.core.transfer.home import Home, Progress, silent
from cloudserve.core.transfer.lacking import FunctionLack, OwnerLack, function_lack, moved, owner_lack
from cloudserve.core.transfer.lines import HistoryLine
from cloudserve.core.transfer.objects import ObjectsPlan, plan_objects, put_objects
from cloudserve.core.transfer.settings import differing

_CALLS_AT_ONCE: Final = 500


@dataclass(slots=True)
class Imported:
    """What was added, or would be, and what was there.

    `merged` has the names of owners whose rows here took the part of those there, `settings` those that differ: each
    with its value there and here. Of records of calls those in the file are counted as added.
    """

    added: Counts = field(default_factory=Counts)
    there: Counts = field(default_factory=Counts)
    merged: list[str] = field(default_factory=list)
    settings: dict[str, tuple[Any, Any]] = field(default_factory=dict)


async def import_(
    home: Home,
    file: ExportFile,
    *,
    merge: Collection[str] = (),
    dry_run: bool = False,
    on_progress: Progress = silent,
) -> Imported:
    """Adds what is in the file and not in the home; with `dry_run` it only tells what it would add.

    `merge` has names of owners: whoever has such a name here takes the keys and functions of its namesake there. Raises
    `Damaged` or `Conflicting` with nothing changed, and `TransferError`, `StoreError`, `ObjectsError` or OSError for
    what happens on the way: then run it again.
    """
    work = _Import(home, file, merge, on_progress)
    imported = await work.survey()
    if not dry_run:
        await work.add(imported)
    return imported


class _Import:
    """One import: the file, the home, and what is known of both."""

    def __init__(self, home: Home, file: ExportFile, merge: Collection[str], on_progress: Progress) -> None:
        self._home = home
        self._file = file
        self._merge = merge
        self._on_progress = on_progress
        self._objects = ObjectsPlan()
        self._owners: dict[str, str] = {}

    async def survey(self) -> Imported:
        """Reads all of the file and compares it with the home. Raises `Conflicting` with all that is in the way."""
        self._objects = await plan_objects(self._home.objects, self._file)
        imported = Imported(settings=differing(self._file.head.settings, self._home.settings))
        imported.added.objects, imported.added.size = len(self._objects.missing), self._objects.size
        imported.there.objects = len(self._objects.there)
        conflicts: list[Conflict] = []
        async for lack in self._lacks():
            conflicts += lack.conflicts
            if isinstance(lack, OwnerLack):
                if lack.id != lack.parts.owner.id:
                    imported.merged.append(lack.parts.owner.name)
                _count(imported, "owners", 1, lack.owner is not None)
                _count(imported, "keys", len(lack.parts.keys), len(lack.keys))
            else:
                _count(imported, "functions", 1, lack.draft is not None or lack.final is not None)
                for kind in ("versions", "secrets", "builds"):
                    _count(imported, kind, len(getattr(lack.parts, kind)), len(getattr(lack, kind)))
        imported.added.calls = sum(1 for _ in self._file.calls())
        if conflicts:
            raise Conflicting(conflicts)
        return imported

    async def add(self, surveyed: Imported) -> None:
        """Adds what is missing."""
        await put_objects(self._home.objects, self._file, self._objects, self._on_progress)
        done, total = 0, surveyed.added.functions + surveyed.there.functions
        try:
            async for lack in self._lacks():
                if lack.conflicts:
                    raise Conflicting(lack.conflicts)
                if isinstance(lack, OwnerLack):
                    await self._add_owner(lack)
                else:
                    await self._add_function(lack)
                    done += 1
                    self._on_progress("rows", done, total)
            await self._add_calls(surveyed.added.calls)
        except (Taken, Gone) as error:
            raise TransferError(
                f"The home was changed while the import went on ({error}). Remedy: import again; it tells "
                "what is in the way."
            ) from error

    async def _lacks(self) -> AsyncIterator[OwnerLack | FunctionLack]:
        """Yields what the home lacks now of each line of the file; secrets are sealed with the home's key."""
        names: dict[str, str] = {}
        for line in self._file.rows():
            if line.owner is not None:
                owner = line.owner.owner
                lack = await owner_lack(self._home.store, line.owner, merge=self._merge)
                self._owners[owner.id], names[owner.id] = lack.id, owner.name
                yield lack
            if line.function is not None:
                name = names.get(line.function.function.owner_id)
                if name is None:
                    raise Damaged(f"the owner of the function {line.function.function.name} is not in the export.")
                parts = moved(line.function, owners=self._owners, places=self._objects.places)
                yield self._resealed(await function_lack(self._home.store, parts, owner=name))

    def _resealed(self, lack: FunctionLack) -> FunctionLack:
        for secret in lack.secrets:
            value = self._file.unsealed(secret)
            secret.ciphertext = self._home.sealer.seal(value, context=f"{secret.function_id}/{secret.name}")
        return lack

    async def _add_owner(self, lack: OwnerLack) -> None:
        if lack.owner is not None:
            await self._home.store.owners.add(lack.owner)
        for key in lack.keys:
            await self._home.store.keys.add(key)

    async def _add_function(self, lack: FunctionLack) -> None:
        store = self._home.store
        if lack.draft is not None:
            await store.functions.add(lack.draft)
        await asyncio.gather(*(store.versions.add(version) for version in lack.versions))
        await asyncio.gather(*(store.secrets.put(secret.record()) for secret in lack.secrets))
        if lack.final is not None:
            await store.functions.restore(lack.final)
        await asyncio.gather(*(store.builds.add(build) for build in lack.builds))

    async def _add_calls(self, total: int) -> None:
        done = 0
        for lines in _batches(self._file.calls()):
            usages = [line.usage for line in lines if line.usage is not None]
            logs = [line.log for line in lines if line.log is not None]
            for usage in usages:
                usage.owner_id = self._owners.get(usage.owner_id, usage.owner_id)
            for log in logs:
                log.owner_id = self._owners.get(log.owner_id, log.owner_id)
            await self._home.store.usages.restore(usages)
            await self._home.store.logs.record(logs)
            done += len(lines)
            self._on_progress("history", done, total)


def _batches(lines: Iterator[HistoryLine]) -> Iterator[list[HistoryLine]]:
    while batch := list(islice(lines, _CALLS_AT_ONCE)):
        yield batch


def _count(imported: Imported, kind: str, all_: int, missing: int) -> None:
    setattr(imported.added, kind, getattr(imported.added, kind) + missing)
    setattr(imported.there, kind, getattr(imported.there, kind) + all_ - missing)
