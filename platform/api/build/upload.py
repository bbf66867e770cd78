"""Takes an upload in: unpacked, looked at, and packed the way it is stored."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cloudserve.api.build.archive import ArchiveLimits, encode_code, unpack_upload
from cloudserve.api.build.detect import Detected, detect
from cloudserve.api.build.request import Upload
from cloudserve.core.ids import new_id
from cloudserve.core.models.function import Runtime
from cloudserve.core.trees import pack_tree, unpack_tree


@dataclass(frozen=True, slots=True)
class Received:
    """Sources that may be deployed: their folder, the same as an archive, and what they are."""

    folder: Path
    archive: Path
    detected: Detected


class Inbox:
    """Folders for what is being taken in, each removed when it has been dealt with."""

    def __init__(self, folder: Path, limits: ArchiveLimits) -> None:
        self._folder = folder
        self._limits = limits

    async def start(self) -> None:
        """Makes the folder for them."""
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)

    @asynccontextmanager
    async def receive(
        self, upload: Upload, *, runtime: Runtime | None, entry: str | None, usual_entry: str | None = None
    ) -> AsyncIterator[Received]:
        """Takes an upload in. Raises the 422 that says what is wrong with it.

        `usual_entry` is taken for the entry when none is stated and the sources have it.
        """
        folder = self._folder / new_id()
        try:
            yield await asyncio.to_thread(self._receive, folder, upload, runtime, entry, usual_entry)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    @asynccontextmanager
    async def reopen(
        self, archive: bytes, *, runtime: Runtime | None, entry: str | None, code: str | None = None
    ) -> AsyncIterator[Received]:
        """Takes in what was stored before, with `code` in place of the entry's. Raises the 422 like `receive`."""
        folder = self._folder / new_id()
        try:
            yield await asyncio.to_thread(self._reopen, folder, archive, runtime, entry, code)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def _receive(
        self, folder: Path, upload: Upload, runtime: Runtime | None, entry: str | None, usual_entry: str | None
    ) -> Received:
        source, archive = folder / "source", folder / "source.tar.gz"
        folder.mkdir()
        unpack_upload(upload, source, self._limits, entry=entry or usual_entry)
        if entry is None and usual_entry is not None and (source / usual_entry).is_file():
            entry = usual_entry
        detected = detect(source, runtime=runtime, entry=entry)
        pack_tree(source, archive)
        return Received(source, archive, detected)

    def _reopen(
        self, folder: Path, content: bytes, runtime: Runtime | None, entry: str | None, code: str | None
    ) -> Received:
        source, archive = folder / "source", folder / "source.tar.gz"
        folder.mkdir()
        archive.write_bytes(content)
        unpack_tree(archive, source)
        detected = detect(source, runtime=runtime, entry=entry)
        if code is not None:
            (source / detected.entry).write_bytes(encode_code(code, self._limits))
            pack_tree(source, archive)
        return Received(source, archive, detected)
