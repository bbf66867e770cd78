"""Versions, which never change, and the builds that make them."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cloudserve.core.models.function import Build, DeployStatus, Version
from cloudserve.core.store import abc
from cloudserve.core.store.sqlite.database import Database
from cloudserve.core.store.sqlite.rows import Table, milliseconds

VERSIONS: Final = Table(
    "versions", Version, "owner_id", "function_id", "number", "source_path", "bundle_path", "layer_path"
)
BUILDS: Final = Table(
    "builds",
    Build,
    *("owner_id", "function_id", "source_path"),
    *("status", "error", "output", "attempts", "claimed_by"),
    times=["claimed_until", "started_at", "finished_at"],
)
_UNFINISHED: Final = "status IN ('pending', 'deploying')"


class SqliteVersions(abc.Versions):
    """Built versions."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(self, version: Version) -> None:
        await self._db.write(lambda db: VERSIONS.insert(db, version))

    async def get(self, owner_id: str, function_id: str, number: int) -> Version | None:
        where = "owner_id = ? AND function_id = ? AND number = ?"
        return await self._db.read(lambda db: VERSIONS.one(db, where, (owner_id, function_id, number)))

    async def list(self, owner_id: str, function_id: str) -> Sequence[Version]:
        where = "owner_id = ? AND function_id = ? ORDER BY number DESC"
        return await self._db.read(lambda db: VERSIONS.all(db, where, (owner_id, function_id)))

    async def referenced_objects(self) -> set[str]:
        statement = f"""
            SELECT source_path FROM versions
            UNION SELECT bundle_path FROM versions
            UNION SELECT layer_path FROM versions WHERE layer_path IS NOT NULL
            UNION SELECT source_path FROM builds WHERE {_UNFINISHED}
                OR id IN (SELECT max(id) FROM builds GROUP BY owner_id, function_id)
        """  # noqa: S608 - a constant of this module
        return await self._db.read(lambda db: {path for (path,) in db.execute(statement)})


class SqliteBuilds(abc.Builds):
    """Durable build jobs. Whoever claims one holds it until its lease has run out and another has claimed it."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(self, build: Build) -> None:
        await self._db.write(lambda db: BUILDS.insert(db, build))

    async def get(self, owner_id: str, build_id: str) -> Build | None:
        return await self._db.read(lambda db: BUILDS.one(db, "owner_id = ? AND id = ?", (owner_id, build_id)))

    async def list(self, owner_id: str, function_id: str, *, limit: int = 20) -> Sequence[Build]:
        where = "owner_id = ? AND function_id = ? ORDER BY id DESC LIMIT ?"
        return await self._db.read(lambda db: BUILDS.all(db, where, (owner_id, function_id, limit)))

    async def claim(self, worker: str, *, now: datetime, until: datetime) -> Build | None:
        free = f"{_UNFINISHED} AND ifnull(claimed_until, 0) <= ? ORDER BY id LIMIT 1"
        claim = """
            UPDATE builds SET claimed_by = :worker, claimed_until = :until, attempts = attempts + 1,
                status = 'deploying', started_at = ifnull(started_at, :now)
            WHERE id = :id
        """
        values = {"worker": worker, "now": milliseconds(now), "until": milliseconds(until)}

        def work(db: sqlite3.Connection) -> Build | None:
            build = BUILDS.one(db, free, (values["now"],))
            if build is None:
                return None
            db.execute(claim, values | {"id": build.id})
            return BUILDS.one(db, "id = ?", (build.id,))

        return await self._db.write(work)

    async def extend(self, build_id: str, worker: str, *, until: datetime, output: str) -> bool:
        statement = f"""
            UPDATE builds SET claimed_until = ?, output = ? WHERE id = ? AND claimed_by = ? AND {_UNFINISHED}
        """  # noqa: S608 - a constant of this module
        values = (milliseconds(until), output, build_id, worker)
        return await self._db.write(lambda db: db.execute(statement, values).rowcount > 0)

    async def finish(
        self, build_id: str, worker: str, *, status: DeployStatus, error: str | None, output: str, at: datetime
    ) -> bool:
        statement = f"""
            UPDATE builds SET status = ?, error = ?, output = ?, finished_at = ?, claimed_until = NULL
            WHERE id = ? AND claimed_by = ? AND {_UNFINISHED}
        """  # noqa: S608 - a constant of this module
        values = (status, error, output, milliseconds(at), build_id, worker)
        return await self._db.write(lambda db: db.execute(statement, values).rowcount > 0)
