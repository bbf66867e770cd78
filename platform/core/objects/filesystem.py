"""Objects in a folder: the embedded default.

The object `a/b` is the file `a/b@`: a line with the SHA-256 of the content in hex, then the content. One file and one
rename make an object appear whole, hash included. Drafts, in the folder `@drafts`, are no objects.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final, ParamSpec, TypeVar

from cloudserve.core.ids import new_id
from cloudserve.core.objects.abc import Missing, ObjectInfo, Objects, ObjectsUnavailable
from cloudserve.core.objects.content import check_asked, check_hash, chunks_in, write_verified
from cloudserve.core.objects.keys import MARK, begins_keys, name_of

P = ParamSpec("P")
T = TypeVar("T")

_HEADER: Final = 65  # 64 hex digits and a line's end
_ABANDONED_SECONDS: Final = 24 * 3600  # no put takes that long


class FilesystemObjects(Objects):
    """Objects in the folder `root`, which `open` makes if need be. The work is done on threads."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._drafts = root / f"{MARK}drafts"

    async def open(self) -> None:
        await _on_thread(self._open)

    async def close(self) -> None:
        """Has nothing to close."""

    async def ping(self) -> None:
        try:
            await _on_thread(self._try_out)
        except FileNotFoundError as error:
            raise ObjectsUnavailable("the objects' folder is not there") from error

    async def put(self, key: str, content: bytes | Path) -> ObjectInfo:
        return await _on_thread(self._put, key, self._file(key), content)

    async def read(self, key: str) -> bytes:
        return await _on_thread(self._read, key, self._file(key))

    async def fetch(self, key: str, target: Path, *, sha256: str | None = None) -> ObjectInfo:
        return await _on_thread(self._fetch, key, self._file(key), target, sha256)

    async def stat(self, key: str) -> ObjectInfo | None:
        return await _on_thread(_info, key, self._file(key))

    async def touch(self, key: str) -> bool:
        return await _on_thread(_touch, self._file(key))

    async def delete(self, key: str) -> bool:
        return await _on_thread(_delete, self._file(key), self._root)

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        folders = [self._root / prefix.rpartition("/")[0]] if begins_keys(prefix) else []
        while folders:
            found, below = await _on_thread(_scan, self._root, folders.pop(), prefix)
            folders += below
            for info in found:
                yield info

    def _file(self, key: str) -> Path:
        return self._root / name_of(key)

    def _open(self) -> None:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._drafts.mkdir(mode=0o700, exist_ok=True)
        abandoned = time.time() - _ABANDONED_SECONDS
        for draft in self._drafts.iterdir():
            with suppress(FileNotFoundError):  # another process sweeps too, or has put it in its place
                if draft.stat().st_mtime < abandoned:
                    draft.unlink()

    def _try_out(self) -> None:
        with self._draft() as (_, draft):
            draft.write(b"x")

    def _put(self, key: str, file: Path, content: bytes | Path) -> ObjectInfo:
        with self._draft() as (path, draft):
            draft.write(b" " * _HEADER)
            digest = hashlib.sha256()
            size = 0
            for chunk in _chunks_of(content):
                digest.update(chunk)
                size += draft.write(chunk)
            draft.seek(0)
            draft.write(digest.hexdigest().encode() + b"\n")
            draft.flush()
            os.fsync(draft.fileno())
            modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            self._place(path, file)
        return ObjectInfo(key, size, digest.hexdigest(), modified)

    def _place(self, draft: Path, file: Path) -> None:
        for last in (False, False, True):
            try:
                _make_folder(file.parent, self._root)
                draft.replace(file)
                break
            except FileNotFoundError:  # a `delete` has taken the empty folder away in between
                if last:
                    raise
        with suppress(FileNotFoundError):  # or has taken the object away already
            _sync_folder(file.parent)

    def _read(self, key: str, file: Path) -> bytes:
        with _opened(key, file) as source:
            expected = _hash_in(source)
            content = source.read()
        check_hash(key, hashlib.sha256(content).hexdigest(), expected)
        return content

    def _fetch(self, key: str, file: Path, target: Path, sha256: str | None) -> ObjectInfo:
        with _opened(key, file) as source:
            expected = _hash_in(source)
            check_asked(key, expected, sha256)
            info = _info_of(key, expected, os.fstat(source.fileno()))
            write_verified(key, chunks_in(source), target, expected)
        return info

    @contextmanager
    def _draft(self) -> Iterator[tuple[Path, IO[bytes]]]:
        path = self._drafts / new_id()
        try:
            with path.open("xb") as draft:
                yield path, draft
        finally:
            path.unlink(missing_ok=True)


async def _on_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs `work` beside the event loop; a disk that is full or broken makes objects unavailable."""
    try:
        return await asyncio.to_thread(work, *args, **kwargs)
    except (FileExistsError, FileNotFoundError):
        raise  # of a path that the caller gave
    except OSError as error:
        raise ObjectsUnavailable(f"the objects' folder can't be used: {error.strerror}") from error


def _scan(root: Path, folder: Path, prefix: str) -> tuple[list[ObjectInfo], list[Path]]:
    """Returns the objects of one folder, and its folders that may hold more."""
    found: list[ObjectInfo] = []
    folders: list[Path] = []
    try:
        paths = list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return found, folders
    for path in paths:
        name = path.relative_to(root).as_posix()
        if not name.endswith(MARK):
            below = f"{name}/"
            if path.is_dir() and (below.startswith(prefix) or prefix.startswith(below)):
                folders.append(path)
        elif name.startswith(prefix) and (info := _info(name.removesuffix(MARK), path)):
            found.append(info)
    return found, folders


def _chunks_of(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        yield from chunks_in(file)


@contextmanager
def _opened(key: str, file: Path) -> Iterator[IO[bytes]]:
    try:
        source = file.open("rb")
    except FileNotFoundError:
        raise Missing(f"there is no object {key}") from None
    with source:
        yield source


def _hash_in(source: IO[bytes]) -> str:
    """Returns what the header says; what is damaged matches no content."""
    return source.read(_HEADER).rstrip(b"\n").decode("ascii", errors="replace")


def _info(key: str, file: Path) -> ObjectInfo | None:
    try:
        with _opened(key, file) as source:
            return _info_of(key, _hash_in(source), os.fstat(source.fileno()))
    except Missing:
        return None


def _info_of(key: str, sha256: str, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(key, status.st_size - _HEADER, sha256, datetime.fromtimestamp(status.st_mtime, UTC))


def _touch(file: Path) -> bool:
    try:
        os.utime(file)
    except FileNotFoundError:
        return False
    return True


def _delete(file: Path, root: Path) -> bool:
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    folder = file.parent
    with suppress(OSError):  # of a folder that is not empty
        while folder != root:
            folder.rmdir()
            folder = folder.parent
    return True


def _make_folder(folder: Path, root: Path) -> None:
    """Makes a folder and those above it; each is durable when this returns."""
    if folder == root or folder.is_dir():
        return
    _make_folder(folder.parent, root)
    folder.mkdir(mode=0o700, exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
