"""Versions, which never change, and the builds that make them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING

from cloudserve.core.models.function import Build, DeployStatus, Version
from cloudserve.core.store import abc
from cloudserve.core.store.mongo.client import Document, translated
from cloudserve.core.store.mongo.collection import Collection
from cloudserve.core.store.mongo.database import Database
from cloudserve.core.store.mongo.functions import FunctionRows

_UNFINISHED: Final = {"pending", "deploying"}


class MongoVersions(abc.Versions):
    """Built versions."""

    def __init__(self, database: Database) -> None:
        self._versions = Collection(database, "versions", Version)
        self._functions = FunctionRows(database)
        self._database = database

    async def add(self, version: Version) -> None:
        await self._functions.mark_deployed(version.owner_id, version.function_id)
        await self._versions.add(version)
        await self._functions.keep_if_there(version.owner_id, version.function_id, version.id, self._versions)

    async def get(self, owner_id: str, function_id: str, number: int) -> Version | None:
        return await self._versions.get({"owner_id": owner_id, "function_id": function_id, "number": number})

    async def list(self, owner_id: str, function_id: str) -> Sequence[Version]:
        where = {"owner_id": owner_id, "function_id": function_id}
        return await self._versions.list(where, sort=[("number", DESCENDING)])

    async def referenced_objects(self) -> set[str]:
        # Builds come first: one that ends in between has added its version by then.
        newest: list[Document] = [
            {"$sort": {"function_id": ASCENDING, "_id": ASCENDING}},
            {"$group": {"_id": "$function_id", "source_path": {"$last": "$source_path"}}},
        ]
        with translated():
            builds = await (await self._database["builds"].aggregate(newest)).to_list()
            builds += await self._database["builds"].find({"unfinished": True}, {"source_path": 1}).to_list()
        paths = {build["source_path"] for build in builds}
        for version in await self._versions.raw({}, ["source_path", "bundle_path", "layer_path"]):
            paths.update(path for name, path in version.items() if name != "_id")
        return paths


class _Builds(Collection[Build]):
    """`unfinished` marks what may be claimed, and is absent from the rest."""

    def document(self, record: Build) -> Document:
        unfinished = {"unfinished": True} if record.status in _UNFINISHED else {}
        return super().document(record) | unfinished


class MongoBuilds(abc.Builds):
    """Durable build jobs. Whoever claims one holds it until its lease has run out and another has claimed it."""

    def __init__(self, database: Database) -> None:
        self._builds = _Builds(database, "builds", Build)
        self._functions = FunctionRows(database)

    async def add(self, build: Build) -> None:
        await self._functions.mark_deployed(build.owner_id, build.function_id)
        await self._builds.add(build)
        await self._functions.keep_if_there(build.owner_id, build.function_id, build.id, self._builds)

    async def get(self, owner_id: str, build_id: str) -> Build | None:
        return await self._builds.get({"_id": build_id, "owner_id": owner_id})

    async def list(self, owner_id: str, function_id: str, *, limit: int = 20) -> Sequence[Build]:
        return await self._builds.list({"owner_id": owner_id, "function_id": function_id}, limit=limit)

    async def claim(self, worker: str, *, now: datetime, until: datetime) -> Build | None:
        free = {"unfinished": True, "claimed_until": {"$not": {"$gt": now}}}
        claim: dict[str, Any] = {
            "$set": {"claimed_by": worker, "claimed_until": until, "status": "deploying"},
            "$inc": {"attempts": 1},
            "$min": {"started_at": now},
        }
        return await self._builds.change(free, claim, sort=[("_id", ASCENDING)])

    async def extend(self, build_id: str, worker: str, *, until: datetime, output: str) -> bool:
        return await self._builds.alter(_held(build_id, worker), {"$set": {"claimed_until": until, "output": output}})

    async def finish(
        self, build_id: str, worker: str, *, status: DeployStatus, error: str | None, output: str, at: datetime
    ) -> bool:
        values = {"status": status, "error": error, "output": output, "finished_at": at}
        change = {"$set": values, "$unset": {"unfinished": "", "claimed_until": ""}}
        return await self._builds.alter(_held(build_id, worker), change)


def _held(build_id: str, worker: str) -> Document:
    return {"_id": build_id, "claimed_by": worker, "unfinished": True}
