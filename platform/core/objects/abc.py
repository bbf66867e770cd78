"""The object store's contract.

- Keys are relative paths of `[A-Za-z0-9._-]` segments joined by `/`; anything else raises ValueError.
- An object appears whole or not at all, also when the process is killed in the middle of `put`; after `put` has
  returned it is durable. Putting the same key again replaces it whole.
- Every object carries the SHA-256 of its content; `fetch` verifies it and raises `Corrupt` rather than hand on
  something else. Nothing of a failed `fetch` stays at the target.
- Methods are coroutine-safe and never block the event loop.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


class ObjectsError(Exception):
    """The object store refused."""


class Missing(ObjectsError):  # noqa: N818 - reads as what happened
    """There is no such object."""


class Corrupt(ObjectsError):  # noqa: N818 - reads as what happened
    """The content does not match its hash, or is not what it should be."""


class ObjectsUnavailable(ObjectsError):  # noqa: N818 - reads as what happened
    """The object store can't be reached just now."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known of an object; `size` in bytes, `sha256` in hex."""

    key: str
    size: int
    sha256: str
    modified: datetime


class Objects(ABC):
    """A flat space of immutable blobs."""

    @abstractmethod
    async def open(self) -> None:
        """Makes ready: the folder or bucket is there when this returns."""

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def ping(self) -> None:
        """Returns when objects can be read and written. Raises `ObjectsUnavailable`."""

    @abstractmethod
    async def put(self, key: str, content: bytes | Path) -> ObjectInfo:
        """Stores bytes, or a file's content."""

    @abstractmethod
    async def read(self, key: str) -> bytes:
        """Returns an object's content, verified. Raises `Missing` or `Corrupt`."""

    @abstractmethod
    async def fetch(self, key: str, target: Path, *, sha256: str | None = None) -> ObjectInfo:
        """Writes an object to a file that does not exist yet, verified against `sha256` too where given."""

    @abstractmethod
    async def stat(self, key: str) -> ObjectInfo | None: ...

    @abstractmethod
    async def touch(self, key: str) -> bool:
        """Makes an object as new as one just put, so that collection spares it; False when there is none."""

    @abstractmethod
    async def delete(self, key: str) -> bool: ...

    @abstractmethod
    def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """Yields the objects whose key starts with `prefix`, in no particular order."""
