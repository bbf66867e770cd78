"""Watches what is sent to a MongoDB server, and finds the filters that none of our indexes serves.

A filter is served when it names `_id`, or the first field of an index that the table in `core.store.mongo.indexes`
has for the collection. One that names nothing must be read in the order of `_id`.
"""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self

from pymongo import monitoring

from cloudserve.core.store.mongo.indexes import INDEXES

LEADING: Final = {(index.collection, index.fields[0]) for index in INDEXES}


class Watch(monitoring.CommandListener):
    """Collects what is uncovered among the commands to one database, of clients made from now on in this process."""

    def __init__(self, database: str) -> None:
        self.uncovered: list[tuple[str, str, Mapping[str, Any]]] = []
        self._database = database

    def __enter__(self) -> Self:
        _Relay.watches.append(self)
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        _Relay.watches.remove(self)

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.database_name != self._database:
            return
        collection = str(event.command.get(event.command_name))
        for where, sort in _filters(event.command_name, event.command):
            if not _covered(collection, where, sort):
                self.uncovered.append((event.command_name, collection, where))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Nothing to see."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Nothing to see."""


class _Relay(Watch):
    """The one listener that the driver knows, because it can't be told to forget one."""

    watches: Final[list[Watch]] = []

    def __init__(self) -> None:
        super().__init__("")

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        for watch in self.watches:
            watch.started(event)


def _filters(name: str, command: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Returns the filters of a command, each with its sort."""
    if name == "find":
        yield command.get("filter", {}), command.get("sort", {})
    elif name == "findAndModify":
        yield command.get("query", {}), {}
    elif name in ("update", "delete"):
        for one in command[f"{name}s"]:
            yield one["q"], {}
    elif name == "aggregate":
        first = command["pipeline"][0]
        yield first.get("$match", {}), first.get("$sort", {})
    elif name in ("count", "distinct"):
        yield command.get("query", {}), {}


def _covered(collection: str, where: Mapping[str, Any], sort: Mapping[str, Any]) -> bool:
    fields = where.keys() or list(sort)[:1]
    return any(field == "_id" or (collection, field) in LEADING for field in fields)


monitoring.register(_Relay())
