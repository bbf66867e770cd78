"""Folders as archives: packed the same on every machine, unpacked whole or not at all.

A tree holds folders, files and relative symbolic links that stay inside it; of a file's mode the executable bit is
kept. Equal trees make equal archives: members are sorted, times and owners are zero.

Unpacking trusts no archive. A member has a plain relative path and never passes through a link; a link is followed
through all the links of the archive, not by its text alone, because `a/../..` leads elsewhere when `a` is a link.
"""

import gzip
import os
import shutil
import stat
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Final, Protocol, cast

from cloudserve.core.ids import new_id

_FILE_MODE: Final = 0o644
_EXECUTABLE_MODE: Final = 0o755
_MAX_HOPS: Final = 40  # as many links as Linux follows in one path (path_resolution(7))
_CHUNK: Final = 1024 * 1024
_LEVEL: Final = 6  # zlib's own default: 9 takes much longer and saves next to nothing


class BadTree(ValueError):  # noqa: N818 - reads as what it is
    """A folder that can't be packed, or an archive that can't be unpacked; the message names the member."""


class Sink(Protocol):
    """What takes an archive as it is written."""

    def write(self, data: bytes, /) -> object:
        """Takes a piece."""


def pack_tree(folder: Path, target: Path) -> None:
    """Packs what is in `folder` into the .tar.gz `target`, which appears whole.

    Raises `BadTree` for a link that leads out of the folder, and for what is no file, folder or link.
    """
    draft = target.with_name(f".{target.name}.{new_id()}")
    try:
        with draft.open("xb") as raw:
            write_tree(folder, raw)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def write_tree(folder: Path, sink: Sink, *, level: int = _LEVEL) -> None:
    """Writes the .tar.gz of a folder to `sink`; `level` is zlib's, 0 for an archive that is made fast and not small.

    Raises `BadTree` like `pack_tree`.
    """
    entries = sorted(_walk(folder), key=lambda entry: entry[0].parts)
    _check_links({path.parts: str(real.readlink()) for path, real in entries if real.is_symlink()})
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=level, fileobj=cast("IO[bytes]", sink), mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path, real in entries:
            _pack(archive, path, real)


def unpack_tree(archive: Path, target: Path) -> None:
    """Unpacks a .tar.gz into the folder `target`, which must not exist and appears whole.

    Raises `BadTree` for an archive that is damaged or unsafe, `FileExistsError` when `target` exists, also when it has
    come up meanwhile. Nothing of a failure stays.
    """
    if target.exists():
        raise FileExistsError(f"{target} exists")
    draft = target.with_name(f".{target.name}.{new_id()}")
    try:
        _make_folder(draft)
        try:
            with tarfile.open(archive, "r:gz") as members:
                _unpack(members, draft)
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise BadTree(f"the archive is damaged: {error}") from error
        try:
            draft.rename(target)
        except OSError as error:
            if target.exists():
                raise FileExistsError(f"{target} exists") from error
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _walk(folder: Path) -> Iterator[tuple[PurePosixPath, Path]]:
    for root, folders, files in os.walk(folder, onerror=_raise):
        for name in (*folders, *files):
            real = Path(root, name)
            yield PurePosixPath(real.relative_to(folder)), real


def _raise(error: OSError) -> None:
    raise error


def _pack(archive: tarfile.TarFile, path: PurePosixPath, real: Path) -> None:
    member = tarfile.TarInfo(str(path))  # times and owners are zero from the start
    status = real.lstat()
    if stat.S_ISLNK(status.st_mode):
        member.type, member.linkname, member.mode = tarfile.SYMTYPE, str(real.readlink()), 0o777
        archive.addfile(member)
    elif stat.S_ISDIR(status.st_mode):
        member.type, member.mode = tarfile.DIRTYPE, _EXECUTABLE_MODE
        archive.addfile(member)
    elif stat.S_ISREG(status.st_mode):
        member.mode, member.size = _mode(status.st_mode), status.st_size
        with real.open("rb") as content:
            archive.addfile(member, content)
    else:
        raise BadTree(f"{path} is neither a file nor a folder nor a link")


def _unpack(archive: tarfile.TarFile, folder: Path) -> None:
    made: set[tuple[str, ...]] = {()}
    links: dict[tuple[str, ...], str] = {}
    seen: set[tuple[str, ...]] = set()
    for member in archive:
        parts = _parts(member.name)
        if parts in seen or (parts in made and not member.isdir()):
            raise BadTree(f"{member.name} is in the archive twice")
        seen.add(parts)
        _make_parents(folder, parts, made, seen)
        path = folder.joinpath(*parts)
        if member.isdir():
            if parts not in made:
                _make_folder(path)
                made.add(parts)
        elif member.issym():
            links[parts] = member.linkname
            path.symlink_to(member.linkname)
        elif member.isreg() and (content := archive.extractfile(member)) is not None:
            with content:
                _write(path, content, _mode(member.mode))
        else:
            raise BadTree(f"{member.name} is neither a file nor a folder nor a symbolic link")
    _check_links(links)


def _parts(name: str) -> tuple[str, ...]:
    parts = tuple(name.removesuffix("/").split("/"))
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise BadTree(f"{name!r} is no path inside the archive")
    return parts


def _make_parents(folder: Path, parts: tuple[str, ...], made: set[tuple[str, ...]], seen: set[tuple[str, ...]]) -> None:
    """Makes the folders above a member that have no member of their own; a parent that is none is refused."""
    for end in range(1, len(parts)):
        parent = parts[:end]
        if parent in made:
            continue
        if parent in seen:
            raise BadTree(f"{'/'.join(parts)} is below {'/'.join(parent)}, which is no folder")
        _make_folder(folder.joinpath(*parent))
        made.add(parent)


def _make_folder(path: Path) -> None:
    path.mkdir()
    path.chmod(_EXECUTABLE_MODE)  # whatever the umask: a worker is another user


def _write(path: Path, content: IO[bytes], mode: int) -> None:
    with path.open("xb") as file:
        shutil.copyfileobj(content, file, _CHUNK)
        os.fchmod(file.fileno(), mode)


def _mode(mode: int) -> int:
    return _EXECUTABLE_MODE if mode & stat.S_IXUSR else _FILE_MODE


def _check_links(links: Mapping[tuple[str, ...], str]) -> None:
    """Refuses links that lead out of the tree, or nowhere because they go in circles."""
    for path in links:
        _follow(path, links)


def _follow(path: tuple[str, ...], links: Mapping[tuple[str, ...], str]) -> None:
    at: list[str] = []
    ahead = list(reversed(path))
    hops = 0
    while ahead:
        step = ahead.pop()
        if step in ("", "."):
            continue
        if step == "..":
            if not at:
                raise BadTree(f"the link {'/'.join(path)} leads out of the tree")
            at.pop()
            continue
        at.append(step)
        target = links.get(tuple(at))
        if target is None:
            continue
        hops += 1
        if target.startswith("/"):
            raise BadTree(f"the link {'/'.join(path)} leads out of the tree")
        if hops > _MAX_HOPS:
            raise BadTree(f"the link {'/'.join(path)} goes in circles")
        at.pop()
        ahead += reversed(target.split("/"))
