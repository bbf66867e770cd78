"""Functions, which of their versions is live, and their secrets."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypeVar

from pymongo import ASCENDING

from cloudserve.core.models.base import Record, utc_now
from cloudserve.core.models.function import Cors, DeployStatus, Function, Stats, Version
from cloudserve.core.models.owner import Secret
from cloudserve.core.store import abc
from cloudserve.core.store.mongo.client import Document, translated
from cloudserve.core.store.mongo.collection import Collection
from cloudserve.core.store.mongo.database import Database
from cloudserve.core.store.mongo.feed import Feed, Thing

R = TypeVar("R", bound=Record)

CHILDREN: Final = ("versions", "builds", "secrets", "usages", "logs")
"""The collections whose documents belong to a function, by `function_id`."""

_GONE: Final = "what this belongs to does not exist, or not any more"


class FunctionRows(Collection[Function]):
    """Stats are kept as sums, so that a batch of calls is one addition.

    `has_deployed` marks a function that has, or is about to have, a version or a build.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database, "functions", Function)

    @property
    def fields(self) -> set[str]:
        return {*super().fields, "last_executed"} - {"stats"}

    def document(self, record: Function) -> Document:
        document, stats = super().document(record), record.stats
        del document["stats"]
        sums = {
            "executed": stats.executed,
            "errors": stats.errors,
            "total_latency": stats.avg_latency * stats.executed,
            "total_memory": stats.avg_memory * stats.executed,
        }
        return document | sums | ({} if stats.last_executed is None else {"last_executed": stats.last_executed})

    def record(self, document: Document) -> Function:
        function = super().record(document)
        executed = document["executed"]
        if executed:
            function.stats = Stats(
                executed=executed,
                errors=document["errors"],
                avg_latency=document["total_latency"] / executed,
                avg_memory=document["total_memory"] / executed,
                last_executed=document.get("last_executed"),
            )
        return function

    async def owners_of(self, function_ids: Iterable[str]) -> Mapping[str, str]:
        """Returns the owners of those functions that exist, by the functions' ids."""
        documents = await self.raw({"_id": {"$in": sorted(set(function_ids))}}, ["owner_id"])
        return {document["_id"]: document["owner_id"] for document in documents}

    async def mark_deployed(self, owner_id: str, function_id: str) -> None:
        """Keeps a function from being forgotten. Raises `Gone`."""
        if not await self.alter({"_id": function_id, "owner_id": owner_id}, {"$set": {"has_deployed": True}}):
            raise abc.Gone(_GONE)

    async def check(self, owner_id: str, function_id: str) -> None:
        """Raises `Gone` when there is no such function."""
        if not await self.has({"_id": function_id, "owner_id": owner_id}):
            raise abc.Gone(_GONE)

    async def keep_if_there(self, owner_id: str, function_id: str, child: str, collection: Collection[R]) -> None:
        """Takes back what was just added for a function that has gone in between. Raises `Gone`.

        A function's row goes before what belongs to it is deleted. So an addition comes early enough to be deleted
        with the rest, or finds the row gone and deletes itself; the graveyard gets what a killed adder leaves.
        """
        try:
            await self.check(owner_id, function_id)
        except abc.Gone:
            await collection.remove({"_id": child})
            raise


class Graveyard:
    """Deletes what belongs to deleted functions, once at their end and once more when nothing can be on its way."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._functions = FunctionRows(database)

    async def dig(self, function_id: str) -> None:
        """Remembers a function that is about to be deleted."""
        with translated():
            await self._database["graves"].update_one({"_id": function_id}, {"$set": {"at": utc_now()}}, upsert=True)

    async def clear(self, function_id: str) -> None:
        """Deletes what belongs to a function that is not there any more; nothing when it is there."""
        if await self._functions.has({"_id": function_id}):
            return
        for name in CHILDREN:
            await Collection(self._database, name, Record).remove_in_steps({"function_id": function_id})

    async def dug_before(self, time: datetime) -> Sequence[str]:
        """Returns functions whose deletion began before `time`."""
        with translated():
            graves = await self._database["graves"].find({"at": {"$lt": time}}, limit=100).to_list()
        return [grave["_id"] for grave in graves]

    async def close(self, function_id: str) -> None:
        """Clears a grave for the last time."""
        await self.clear(function_id)
        with translated():
            await self._database["graves"].delete_one({"_id": function_id})


class MongoFunctions(abc.Functions):
    """Functions."""

    def __init__(self, database: Database, feed: Feed, graveyard: Graveyard) -> None:
        self._functions = FunctionRows(database)
        self._versions = Collection(database, "versions", Version)
        self._feed = feed
        self._graveyard = graveyard

    async def add(self, function: Function) -> None:
        async with self._feed.telling(_function(function.owner_id, function.id)):
            await self._functions.add(function)

    async def get(self, owner_id: str, function_id: str) -> Function | None:
        return await self._functions.get(_which(owner_id, function_id))

    async def by_name(self, owner_id: str, name: str) -> Function | None:
        return await self._functions.get({"owner_id": owner_id, "name": name})

    async def list(self, owner_id: str) -> Sequence[Function]:
        return await self._functions.list({"owner_id": owner_id})

    async def set_active(self, owner_id: str, function_id: str, active: bool) -> Function | None:
        return await self._change(owner_id, function_id, {"is_active": active})

    async def set_access(
        self, owner_id: str, function_id: str, *, auth: Literal["key", "public"], cors: Cors | None
    ) -> Function | None:
        values = {"auth": auth, "cors": None if cors is None else cors.model_dump()}
        return await self._change(owner_id, function_id, values)

    async def next_version(self, owner_id: str, function_id: str) -> tuple[int, int] | None:
        up = {"$inc": {"latest_version": 1, "sequence": 1}}
        taken = await self._functions.change(_which(owner_id, function_id), up)
        return None if taken is None else (taken.latest_version, taken.sequence)

    async def next_sequence(self, owner_id: str, function_id: str) -> int | None:
        taken = await self._functions.change(_which(owner_id, function_id), {"$inc": {"sequence": 1}})
        return None if taken is None else taken.sequence

    async def go_live(self, owner_id: str, function_id: str, *, number: int, sequence: int, at: datetime) -> bool:
        # A version goes with its function alone, so one that was found is there as long as the row that is changed.
        if not await self._versions.has({"owner_id": owner_id, "function_id": function_id, "number": number}):
            return False
        values = {"live_version": number, "live_sequence": sequence, "deployed_at": at}
        earlier = {"live_sequence": {"$lt": sequence}}
        return await self._change(owner_id, function_id, values, only_if=earlier) is not None

    async def set_status(
        self, owner_id: str, function_id: str, status: DeployStatus, *, sequence: int, error: str | None = None
    ) -> bool:
        values = {"status": status, "deploy_error": error, "updated_at": utc_now()}
        newest = _which(owner_id, function_id) | {"sequence": sequence}
        return await self._functions.alter(newest, {"$set": values})

    async def restore(self, function: Function) -> bool:
        where = _which(function.owner_id, function.id) | {"sequence": function.sequence, "live_sequence": 0}
        if not await self._functions.has(where):
            return False
        async with self._feed.telling(_function(function.owner_id, function.id)) as telling:
            restored = await self._functions.rewrite(where, function)
            if not restored:
                telling.nothing()
        return restored

    async def delete(self, owner_id: str, function_id: str) -> bool:
        return await self._delete(_which(owner_id, function_id))

    async def forget(self, owner_id: str, function_id: str) -> bool:
        return await self._delete(_which(owner_id, function_id) | {"has_deployed": {"$ne": True}})

    async def _change(
        self, owner_id: str, function_id: str, values: Document, *, only_if: Mapping[str, Any] | None = None
    ) -> Function | None:
        """Changes what is served of a function, and tells of it."""
        where = {**_which(owner_id, function_id), **(only_if or {})}
        if not await self._functions.has(where):
            return None
        async with self._feed.telling(_function(owner_id, function_id)) as telling:
            changed = await self._functions.change(where, {"$set": {**values, "updated_at": utc_now()}})
            if changed is None:
                telling.nothing()
        return changed

    async def _delete(self, where: Document) -> bool:
        """Deletes a function: its row first, which ends it, and then what belongs to it."""
        if not await self._functions.has(where):
            return False
        async with self._feed.telling(_function(where["owner_id"], where["_id"]), ends=True) as telling:
            await self._graveyard.dig(where["_id"])
            if not await self._functions.remove(where):
                telling.nothing()
                return False
            await telling.done()
            await self._graveyard.clear(where["_id"])
        return True


class _Secrets(Collection[Secret]):
    """A function has one secret of a name."""

    def slot(self, record: Secret) -> str:
        return f"{record.function_id}/{record.name}"


class MongoSecrets(abc.Secrets):
    """Secrets of functions; they come encrypted and stay so."""

    def __init__(self, database: Database, feed: Feed) -> None:
        self._secrets = _Secrets(database, "secrets", Secret)
        self._functions = FunctionRows(database)
        self._feed = feed

    async def put(self, secret: Secret) -> None:
        ids = (secret.owner_id, secret.function_id)
        await self._functions.check(*ids)
        async with self._feed.telling(_function(*ids)):
            await self._secrets.put(secret)
            await self._functions.keep_if_there(*ids, self._secrets.slot(secret), self._secrets)

    async def list(self, owner_id: str, function_id: str) -> Sequence[Secret]:
        where = {"owner_id": owner_id, "function_id": function_id}
        return await self._secrets.list(where, sort=[("name", ASCENDING)])

    async def delete(self, owner_id: str, function_id: str, name: str) -> bool:
        where = {"owner_id": owner_id, "function_id": function_id, "name": name}
        if not await self._secrets.has(where):
            return False
        async with self._feed.telling(_function(owner_id, function_id)) as telling:
            ended = await self._secrets.remove(where)
            if not ended:
                telling.nothing()
        return ended


def _which(owner_id: str, function_id: str) -> Document:
    return {"_id": function_id, "owner_id": owner_id}


def _function(owner_id: str, function_id: str) -> Thing:
    return Thing("function", function_id, owner_id)
