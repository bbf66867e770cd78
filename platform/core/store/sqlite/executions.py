"""What is known of calls: light usage records, counted in their functions' stats, and heavy logs."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from cloudserve.core.models.base import Record
from cloudserve.core.models.execution import ExecutionLog, ExecutionStatus, Usage
from cloudserve.core.store import abc
from cloudserve.core.store.sqlite.database import Database
from cloudserve.core.store.sqlite.rows import Table, milliseconds

USAGES: Final = Table("usages", Usage, "owner_id", "function_id", times=["created_at"])
LOGS: Final = Table("logs", ExecutionLog, "owner_id", "function_id", "status", times=["created_at"])
SWEPT_AT_ONCE: Final = 2_000
R = TypeVar("R", bound=Record)


class SqliteUsages(abc.Usages):
    """Light records of calls."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def record(self, usages: Sequence[Usage]) -> None:
        count = """
            UPDATE functions SET executed = executed + 1, errors = errors + ?,
                total_latency = total_latency + ?, total_memory = total_memory + ?,
                last_executed = max(ifnull(last_executed, 0), ?)
            WHERE id = ?
        """

        def work(db: sqlite3.Connection) -> None:
            new = _add_new(db, USAGES, usages)
            db.executemany(
                count,
                [
                    (u.status != "success", u.duration, u.memory_used, milliseconds(u.start_time), u.function_id)
                    for u in new
                ],
            )

        await self._db.write(work)

    async def restore(self, usages: Sequence[Usage]) -> None:
        await self._db.write(lambda db: _add_new(db, USAGES, usages))

    async def latest(self, owner_id: str, *, limit: int = 20) -> Sequence[Usage]:
        where = "owner_id = ? ORDER BY id DESC LIMIT ?"
        return await self._db.read(lambda db: USAGES.all(db, where, (owner_id, limit)))

    async def list(self, owner_id: str, function_id: str, *, limit: int, cursor: str | None = None) -> abc.Page[Usage]:
        where, values = "owner_id = ? AND function_id = ?", (owner_id, function_id)
        return await self._db.read(lambda db: USAGES.page(db, where, values, limit=limit, cursor=cursor))

    async def get(self, owner_id: str, function_id: str, usage_id: str) -> Usage | None:
        where = "owner_id = ? AND function_id = ? AND id = ?"
        return await self._db.read(lambda db: USAGES.one(db, where, (owner_id, function_id, usage_id)))

    async def delete(self, owner_id: str, function_id: str, usage_id: str | None = None) -> int:
        return await _delete(self._db, USAGES, owner_id, function_id, usage_id)

    async def sweep(self, before: datetime) -> int:
        return await _sweep(self._db, USAGES, before)


class SqliteLogs(abc.Logs):
    """Heavy records of calls."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def record(self, logs: Sequence[ExecutionLog]) -> None:
        await self._db.write(lambda db: _add_new(db, LOGS, logs))

    async def list(
        self,
        owner_id: str,
        function_id: str,
        *,
        limit: int,
        cursor: str | None = None,
        status: ExecutionStatus | None = None,
        after: str | None = None,
    ) -> abc.Page[ExecutionLog]:
        where, values = "owner_id = ? AND function_id = ?", [owner_id, function_id]
        if status is not None:
            where, values = f"{where} AND status = ?", [*values, status]
        if after is not None:
            where, values = f"{where} AND id > ?", [*values, after]
        return await self._db.read(lambda db: LOGS.page(db, where, values, limit=limit, cursor=cursor))

    async def get(self, owner_id: str, function_id: str, log_id: str) -> ExecutionLog | None:
        where = "owner_id = ? AND function_id = ? AND id = ?"
        return await self._db.read(lambda db: LOGS.one(db, where, (owner_id, function_id, log_id)))

    async def delete(self, owner_id: str, function_id: str, log_id: str | None = None) -> int:
        return await _delete(self._db, LOGS, owner_id, function_id, log_id)

    async def sweep(self, before: datetime) -> int:
        return await _sweep(self._db, LOGS, before)


def _add_new(db: sqlite3.Connection, table: Table[R], records: Sequence[R]) -> list[R]:
    """Adds those records that are not there yet and whose function exists; returns them."""
    columns = [*table.columns, "document"]
    marks = ", ".join(f":{column}" for column in columns)
    statement = f"""
        INSERT INTO {table.name} ({", ".join(columns)})
        SELECT {marks} WHERE EXISTS (SELECT 1 FROM functions WHERE owner_id = :owner_id AND id = :function_id)
        ON CONFLICT (id) DO NOTHING
    """  # noqa: S608 - names of ours
    return [record for record in records if db.execute(statement, table.values(record)).rowcount > 0]


async def _delete(database: Database, table: Table[Any], owner_id: str, function_id: str, id_: str | None) -> int:
    statement = f"""
        DELETE FROM {table.name} WHERE owner_id = :owner_id AND function_id = :function_id
            AND (:id IS NULL OR id = :id)
    """  # noqa: S608 - names of ours
    values = {"owner_id": owner_id, "function_id": function_id, "id": id_}
    return await database.write(lambda db: db.execute(statement, values).rowcount)


async def _sweep(database: Database, table: Table[Any], before: datetime) -> int:
    statement = f"""
        DELETE FROM {table.name} WHERE rowid IN (
            SELECT rowid FROM {table.name} WHERE created_at < ? ORDER BY created_at LIMIT {SWEPT_AT_ONCE}
        )
    """  # noqa: S608 - names of ours
    swept = 0
    while step := await database.write(lambda db: db.execute(statement, (milliseconds(before),)).rowcount):
        swept += step
    return swept
