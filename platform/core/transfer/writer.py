"""Writes the archive of an export, member by member, in bounded memory."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cloudserve.core.transfer.archive import CHUNK, MANIFEST, Manifest, Member, ending, filling, header


class ArchiveWriter:
    """Writes to an open file; `finish` once, after the last member. A name may be added once."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._members: dict[str, Member] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._members

    @property
    def size(self) -> int:
        """What was written so far, in bytes."""
        return self._file.tell()

    def add(self, name: str, content: bytes | Path) -> None:
        """Adds a member. Raises ValueError for a name that is there already, and OSError of the disk."""
        if name in self._members or name == MANIFEST:
            raise ValueError(f"there is a member {name} already")
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        self._members[name] = Member(name=name, size=size, sha256=self._write(name, size, _chunks(content)))

    def finish(self) -> None:
        """Writes the manifest and the end, and has all of it on the disk."""
        content = Manifest(members=list(self._members.values())).content()
        self._write(MANIFEST, len(content), iter([content]))
        self._file.write(ending(self._file.tell()))
        self._file.flush()
        os.fsync(self._file.fileno())

    def _write(self, name: str, size: int, chunks: Iterator[bytes]) -> str:
        self._file.write(header(name, size))
        digest, written = hashlib.sha256(), 0
        for chunk in chunks:
            digest.update(chunk)
            written += self._file.write(chunk)
        if written != size:
            raise OSError(f"{name} had {size} bytes, and {written} when it was read")
        self._file.write(filling(size))
        return digest.hexdigest()


def _chunks(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
