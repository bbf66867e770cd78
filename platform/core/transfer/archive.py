"""The container of an export: a plain tar archive (POSIX.1-2001, pax) whose last member says what the others are.

An archive has exactly one form. A header is what a member's name and size make it, what fills up a block is zero, and
the manifest, `manifest.json`, names every member before it in order, with its size and SHA-256. So every byte can be
checked: whatever was changed, cut off or added is found.
"""

import tarfile
from typing import Final

from pydantic import Field

from cloudserve.core.models.base import Model

MANIFEST: Final = "manifest.json"
MANIFEST_BYTES: Final = 256 * 1024 * 1024
"""The largest manifest that is read: that of more than a million objects."""

CHUNK: Final = 1024 * 1024
"""What is in memory of a member at once, in bytes."""

_MODE: Final = 0o600


class Member(Model):
    """A member: `size` in bytes, `sha256` in hex."""

    name: str
    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(Model):
    """All members but the manifest, in the order of the archive."""

    members: list[Member]

    def content(self) -> bytes:
        """Returns the one form it is kept in."""
        return self.model_dump_json(by_alias=True).encode()


def header(name: str, size: int) -> bytes:
    """Returns a member's header, in whole blocks: no time, no owner, mode 0600."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, _MODE
    return info.tobuf(tarfile.PAX_FORMAT)


def filling(size: int) -> bytes:
    """Returns the zeros from the end of `size` bytes to the end of their last block."""
    return bytes(-size % tarfile.BLOCKSIZE)


def ending(position: int) -> bytes:
    """Returns what ends an archive at `position`: two blocks of zeros, and zeros up to a whole record."""
    blocks = 2 * tarfile.BLOCKSIZE
    return bytes(blocks + -(position + blocks) % tarfile.RECORDSIZE)
