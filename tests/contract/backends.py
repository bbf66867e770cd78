"""The backends that the contract suites run over. A new one needs an entry here and nothing else."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloudserve.core.objects.abc import Objects
from cloudserve.core.objects.filesystem import FilesystemObjects
from cloudserve.core.store.abc import Store
from cloudserve.core.store.sqlite import SqliteStore


@dataclass(frozen=True)
class StoreBackend:
    """A place for one store: the backend's name, and the address that another process opens the same store by."""

    name: str
    address: str

    def store(self) -> Store:
        """Returns one more way to the store, not opened yet."""
        return STORES[self.name](self.address)


class ObjectsBackend(ABC):
    """A place for objects: the backend's name, and the address that another process opens the same ones by."""

    name: str

    def __init__(self, address: str) -> None:
        self.address = address

    @abstractmethod
    def objects(self) -> Objects:
        """Returns one more way to the objects, not opened yet."""

    @abstractmethod
    def damage(self, key: str) -> None:
        """Changes an object's content behind the contract's back."""


class Folder(ObjectsBackend):
    """A folder of files."""

    name = "folder"

    def objects(self) -> Objects:
        return FilesystemObjects(Path(self.address))

    def damage(self, key: str) -> None:
        file = Path(self.address, f"{key}@")
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


STORES: Final[dict[str, Callable[[str], Store]]] = {"sqlite": lambda address: SqliteStore(Path(address))}
OBJECTS: Final[dict[str, type[ObjectsBackend]]] = {Folder.name: Folder}
