"""All collections of one SQLite file."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from cloudserve.core.store.abc import Change, Store
from cloudserve.core.store.sqlite.database import Database
from cloudserve.core.store.sqlite.deploys import SqliteBuilds, SqliteVersions
from cloudserve.core.store.sqlite.executions import SqliteLogs, SqliteUsages
from cloudserve.core.store.sqlite.functions import SqliteFunctions, SqliteSecrets
from cloudserve.core.store.sqlite.owners import SqliteCodes, SqliteKeys, SqliteOwners, SqliteSessions

CHANGES_AT_ONCE = 1_000


class SqliteStore(Store):
    """The store over the SQLite file at `path`, which `open` makes if need be."""

    def __init__(self, path: Path) -> None:
        self._db = database = Database(path)
        self.owners = SqliteOwners(database)
        self.keys = SqliteKeys(database)
        self.sessions = SqliteSessions(database)
        self.codes = SqliteCodes(database)
        self.functions = SqliteFunctions(database)
        self.versions = SqliteVersions(database)
        self.builds = SqliteBuilds(database)
        self.secrets = SqliteSecrets(database)
        self.usages = SqliteUsages(database)
        self.logs = SqliteLogs(database)

    async def open(self) -> None:
        await self._db.open()

    async def close(self) -> None:
        await self._db.close()

    async def ping(self) -> None:
        # Taking the write lock proves more than a query could, and changes nothing.
        await self._db.write(lambda db: db.execute("SELECT 1 FROM changes LIMIT 1").fetchone())

    async def changes(self, after: int) -> Sequence[Change]:
        statement = "SELECT cursor, kind, id, owner_id FROM changes WHERE cursor > ? ORDER BY cursor LIMIT ?"

        def work(db: sqlite3.Connection) -> list[Change]:
            return [Change(**row) for row in db.execute(statement, (after, CHANGES_AT_ONCE))]

        return await self._db.read(work)

    async def last_change(self) -> int:
        statement = "SELECT ifnull(max(cursor), 0) FROM changes"
        return await self._db.read(lambda db: int(db.execute(statement).fetchone()[0]))
