"""The open database: its client between `open` and `close`."""

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from cloudserve.core.store.abc import Unavailable
from cloudserve.core.store.mongo.client import Client, Document, connect


class Database:
    """One database of a server. `open` before use, `close` once after; both may be called again."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._client: Client | None = None

    def open(self) -> None:
        """Makes the client, which connects when it is first used. Raises `StoreError` for a URL that is none."""
        self._client = connect(self._url)

    async def close(self) -> None:
        """Closes all connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def all(self) -> AsyncDatabase[Document]:
        """Returns the driver's own database. Raises `Unavailable` when the store is not open."""
        if self._client is None:
            raise Unavailable("the store is not open")
        return self._client[self._name]

    def __getitem__(self, name: str) -> AsyncCollection[Document]:
        """Returns a collection. Raises `Unavailable` when the store is not open."""
        return self.all()[name]
