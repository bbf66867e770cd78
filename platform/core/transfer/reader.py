"""Reads the archive of an export: every byte is checked first, in bounded memory; then its members can be had."""

import gzip
import hashlib
import io
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

from pydantic import ValidationError

from cloudserve.core.transfer.archive import CHUNK, MANIFEST, MANIFEST_BYTES, Manifest, Member, ending, filling, header
from cloudserve.core.transfer.failures import Damaged

LINE_BYTES: Final = 512 * 1024 * 1024
"""The longest line that is read: a function with all its versions and builds."""

_REMEDY: Final = "Remedy: copy it again, or make the export again."


class ArchiveReader:
    """An archive that was as it was written when `open` looked at it. `close` once after use."""

    def __init__(self, file: IO[bytes], members: dict[str, tuple[Member, int]]) -> None:
        self._file = file
        self._members = members

    @classmethod
    def open(cls, path: Path, on_progress: Callable[[int, int], None] = lambda done, total: None) -> "ArchiveReader":
        """Opens and checks all of a file; `on_progress` gets the bytes checked, and those in all.

        Raises `Damaged` for anything but an archive of `ArchiveWriter`, byte for byte, and OSError of the disk.
        """
        file = path.open("rb")
        try:
            return cls(file, _checked(file, path.stat().st_size, on_progress))
        except BaseException:
            file.close()
            raise

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def members(self, prefix: str = "") -> Iterator[Member]:
        """Yields the members whose name starts with `prefix`, in their order."""
        return (member for name, (member, _) in self._members.items() if name.startswith(prefix))

    def content(self, name: str) -> bytes:
        """Returns a small member. Raises `Damaged` when there is none of that name."""
        with self._part(name) as part:
            return part.read()

    def extract(self, name: str, target: Path) -> None:
        """Writes a member to a new file. Raises `Damaged` when there is none of that name."""
        with self._part(name) as part, target.open("xb") as copy:
            shutil.copyfileobj(part, copy, CHUNK)

    def lines(self, name: str) -> Iterator[bytes]:
        """Yields the lines of a gzipped member. Raises `Damaged` when there is none of that name, or it is none."""
        try:
            with self._part(name) as part, gzip.GzipFile(fileobj=part) as lines:
                while line := lines.readline(LINE_BYTES + 1):
                    if len(line) > LINE_BYTES:
                        raise Damaged(f"a line of {name} has more than {LINE_BYTES} bytes. {_REMEDY}")
                    yield line
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise Damaged(f"{name} can't be unpacked: {error}. {_REMEDY}") from error

    def _part(self, name: str) -> io.BufferedReader:
        if name not in self._members:
            raise Damaged(f"there is no {name} in the export. {_REMEDY}")
        member, start = self._members[name]
        return io.BufferedReader(_Part(self._file, start, member.size), CHUNK)


class _Part(io.RawIOBase):
    """A stretch of a file as a file of its own; several may be read in turns."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self._file = file
        self._position = start
        self._end = start + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]  # typeshed's WriteableBuffer
        self._file.seek(self._position)
        content = self._file.read(min(len(buffer), self._end - self._position))
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)


def _checked(file: IO[bytes], size: int, on_progress: Callable[[int, int], None]) -> dict[str, tuple[Member, int]]:
    """Returns each member and where its content begins."""
    manifest = _manifest(file)
    found: dict[str, tuple[Member, int]] = {}
    file.seek(0)
    for member in manifest.members:
        _expect(file, header(member.name, member.size), member.name)
        if member.name in found or member.name == MANIFEST:
            raise Damaged(f"{member.name} is in the export twice. {_REMEDY}")
        found[member.name] = member, file.tell()
        if _hash(file, member.size, lambda: on_progress(file.tell(), size)) != member.sha256:
            raise Damaged(f"{member.name} does not match its SHA-256. {_REMEDY}")
        _expect(file, filling(member.size), member.name)
    content = manifest.content()
    _expect(file, header(MANIFEST, len(content)) + content + filling(len(content)), MANIFEST)
    _expect(file, ending(file.tell()), "its end")
    if file.read(1):
        raise Damaged(f"there is something after the export's end. {_REMEDY}")
    return found


def _manifest(file: IO[bytes]) -> Manifest:
    last: tarfile.TarInfo | None = None
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            while (info := archive.next()) is not None:
                last = info
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise Damaged(f"it is no export, or damaged: {error}. {_REMEDY}") from error
    if last is None or last.name != MANIFEST or last.size > MANIFEST_BYTES:
        raise Damaged(f"it has no manifest at its end: it was cut off, or is no export. {_REMEDY}")
    file.seek(last.offset_data)
    try:
        return Manifest.model_validate_json(file.read(last.size))
    except ValidationError as error:
        raise Damaged(f"its manifest can't be read. {_REMEDY}") from error


def _expect(file: IO[bytes], expected: bytes, place: str) -> None:
    if file.read(len(expected)) != expected:
        raise Damaged(f"it is damaged at {place}. {_REMEDY}")


def _hash(file: IO[bytes], size: int, on_progress: Callable[[], None]) -> str:
    digest = hashlib.sha256()
    while size > 0 and (chunk := file.read(min(CHUNK, size))):
        digest.update(chunk)
        size -= len(chunk)
        on_progress()
    return digest.hexdigest()
