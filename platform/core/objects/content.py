"""The content of objects on its way from and to files, in chunks, so that no object must fit into memory."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final

from cloudserve.core.ids import new_id
from cloudserve.core.objects.abc import Corrupt

CHUNK: Final = 1024 * 1024


def chunks_in(source: IO[bytes]) -> Iterator[bytes]:
    """Yields what is left in an open file."""
    while chunk := source.read(CHUNK):
        yield chunk


def write_verified(key: str, chunks: Iterable[bytes], target: Path, sha256: str) -> None:
    """Writes an object's content to a file that does not exist yet.

    The file appears whole. Raises `Corrupt` for content of another hash and FileExistsError; nothing stays then.
    """
    draft = target.with_name(f".{target.name}.{new_id()}")
    try:
        with draft.open("xb") as copy:
            digest = hashlib.sha256()
            for chunk in chunks:
                digest.update(chunk)
                copy.write(chunk)
        check_hash(key, digest.hexdigest(), sha256)
        target.hardlink_to(draft)  # which, unlike a rename, replaces nothing
    finally:
        draft.unlink(missing_ok=True)


def check_hash(key: str, actual: str, expected: str) -> None:
    """Raises `Corrupt` when an object's content has another hash than it should have."""
    if actual != expected:
        raise Corrupt(f"the object {key} does not match its hash")


def check_asked(key: str, carried: str, asked: str | None) -> None:
    """Raises `Corrupt` when an object carries another hash than the one asked for, if one was."""
    if asked is not None and asked != carried:
        raise Corrupt(f"the object {key} has another hash than the one asked for")
