"""Functions, which of their versions is live, and their secrets."""

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from cloudserve.core.models.base import utc_now
from cloudserve.core.models.function import Cors, DeployStatus, Function, Stats
from cloudserve.core.models.owner import Secret
from cloudserve.core.store import abc
from cloudserve.core.store.averages import total_of
from cloudserve.core.store.sqlite.database import Database
from cloudserve.core.store.sqlite.rows import Table, milliseconds, moment, note_change


class _FunctionTable(Table[Function]):
    """Stats are kept as sums, so that a batch of calls is one addition; `cors` is a column that changes in place."""

    def values(self, record: Function) -> dict[str, Any]:
        stats = record.stats
        return super().values(record) | {
            "cors": record.cors and record.cors.model_dump_json(),
            "executed": stats.executed,
            "errors": stats.errors,
            "total_latency": total_of(stats.avg_latency, stats.executed),
            "total_memory": total_of(stats.avg_memory, stats.executed),
            "last_executed": stats.last_executed and milliseconds(stats.last_executed),
        }

    def record(self, row: sqlite3.Row) -> Function:
        function = super().record(row)
        if row["cors"] is not None:
            function.cors = Cors.model_validate_json(row["cors"])
        if row["executed"]:
            function.stats = Stats(
                executed=row["executed"],
                errors=row["errors"],
                avg_latency=row["total_latency"] / row["executed"],
                avg_memory=row["total_memory"] / row["executed"],
                last_executed=moment(row["last_executed"]),
            )
        return function


FUNCTIONS: Final = _FunctionTable(
    "functions",
    Function,
    *("owner_id", "name", "is_active", "status", "deploy_error", "auth"),
    *("live_version", "latest_version", "sequence", "live_sequence"),
    times=["deployed_at", "updated_at"],
    apart=["cors", "stats"],
)
SECRETS: Final = Table("secrets", Secret, "owner_id", "function_id", "name", "ciphertext")


class SqliteFunctions(abc.Functions):
    """Functions."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(self, function: Function) -> None:
        def work(db: sqlite3.Connection) -> None:
            FUNCTIONS.insert(db, function)
            note_change(db, "function", function.id, function.owner_id)

        await self._db.write(work)

    async def get(self, owner_id: str, function_id: str) -> Function | None:
        return await self._db.read(lambda db: FUNCTIONS.one(db, "owner_id = ? AND id = ?", (owner_id, function_id)))

    async def by_name(self, owner_id: str, name: str) -> Function | None:
        return await self._db.read(lambda db: FUNCTIONS.one(db, "owner_id = ? AND name = ?", (owner_id, name)))

    async def list(self, owner_id: str) -> Sequence[Function]:
        return await self._db.read(lambda db: FUNCTIONS.all(db, "owner_id = ? ORDER BY id DESC", (owner_id,)))

    async def set_active(self, owner_id: str, function_id: str, active: bool) -> Function | None:
        return await self._db.write(_changing(owner_id, function_id, "is_active = :active", {"active": active}))

    async def set_access(
        self, owner_id: str, function_id: str, *, auth: Literal["key", "public"], cors: Cors | None
    ) -> Function | None:
        values = {"auth": auth, "cors": cors and cors.model_dump_json()}
        return await self._db.write(_changing(owner_id, function_id, "auth = :auth, cors = :cors", values))

    async def next_version(self, owner_id: str, function_id: str) -> tuple[int, int] | None:
        change = "latest_version = latest_version + 1, sequence = sequence + 1"
        taken = await self._db.write(_taking(owner_id, function_id, change))
        return None if taken is None else (taken.latest_version, taken.sequence)

    async def next_sequence(self, owner_id: str, function_id: str) -> int | None:
        taken = await self._db.write(_taking(owner_id, function_id, "sequence = sequence + 1"))
        return None if taken is None else taken.sequence

    async def go_live(self, owner_id: str, function_id: str, *, number: int, sequence: int, at: datetime) -> bool:
        change = "live_version = :number, live_sequence = :sequence, deployed_at = :at"
        only_if = """
            live_sequence < :sequence AND EXISTS (
                SELECT 1 FROM versions WHERE owner_id = :owner_id AND function_id = :id AND number = :number
            )
        """
        values = {"number": number, "sequence": sequence, "at": milliseconds(at)}
        return await self._db.write(_changing(owner_id, function_id, change, values, only_if)) is not None

    async def set_status(
        self, owner_id: str, function_id: str, status: DeployStatus, *, sequence: int, error: str | None = None
    ) -> bool:
        statement = """
            UPDATE functions SET status = ?, deploy_error = ?, updated_at = ?
            WHERE owner_id = ? AND id = ? AND sequence = ?
        """
        values = (status, error, milliseconds(utc_now()), owner_id, function_id, sequence)
        return await self._db.write(lambda db: db.execute(statement, values).rowcount > 0)

    async def restore(self, function: Function) -> bool:
        same = "id = ? AND owner_id = ? AND sequence = ? AND live_sequence = 0"

        def work(db: sqlite3.Connection) -> bool:
            if FUNCTIONS.one(db, same, (function.id, function.owner_id, function.sequence)) is None:
                return False
            FUNCTIONS.replace(db, function)
            note_change(db, "function", function.id, function.owner_id)
            return True

        return await self._db.write(work)

    async def delete(self, owner_id: str, function_id: str) -> bool:
        return await self._db.write(_deleting(owner_id, function_id, "TRUE"))

    async def forget(self, owner_id: str, function_id: str) -> bool:
        untouched = """
            NOT EXISTS (SELECT 1 FROM versions WHERE versions.function_id = functions.id)
            AND NOT EXISTS (SELECT 1 FROM builds WHERE builds.function_id = functions.id)
        """
        return await self._db.write(_deleting(owner_id, function_id, untouched))


def _taking(owner_id: str, function_id: str, change: str) -> Callable[[sqlite3.Connection], Function | None]:
    """Returns the work that counts something up, and returns the function as it is then."""
    statement = f"UPDATE functions SET {change} WHERE owner_id = ? AND id = ?"  # noqa: S608 - a change of ours

    def work(db: sqlite3.Connection) -> Function | None:
        db.execute(statement, (owner_id, function_id))
        return FUNCTIONS.one(db, "owner_id = ? AND id = ?", (owner_id, function_id))

    return work


def _changing(
    owner_id: str, function_id: str, change: str, values: dict[str, Any], only_if: str = "TRUE"
) -> Callable[[sqlite3.Connection], Function | None]:
    """Returns the work that changes what is served of one function, and tells the change feed."""
    statement = f"""
        UPDATE functions SET {change}, updated_at = :now WHERE owner_id = :owner_id AND id = :id AND {only_if}
    """  # noqa: S608 - changes and conditions of ours
    names = {"owner_id": owner_id, "id": function_id}

    def work(db: sqlite3.Connection) -> Function | None:
        if db.execute(statement, values | names | {"now": milliseconds(utc_now())}).rowcount == 0:
            return None
        note_change(db, "function", function_id, owner_id)
        return FUNCTIONS.one(db, "id = ?", (function_id,))

    return work


def _deleting(owner_id: str, function_id: str, only_if: str) -> Callable[[sqlite3.Connection], bool]:
    """Returns the work that deletes a function; what belongs to it goes with it by its foreign keys."""
    statement = f"DELETE FROM functions WHERE owner_id = ? AND id = ? AND {only_if}"  # noqa: S608 - a condition of ours

    def work(db: sqlite3.Connection) -> bool:
        if db.execute(statement, (owner_id, function_id)).rowcount == 0:
            return False
        note_change(db, "function", function_id, owner_id)
        return True

    return work


class SqliteSecrets(abc.Secrets):
    """Secrets of functions; they come encrypted and stay so."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def put(self, secret: Secret) -> None:
        def work(db: sqlite3.Connection) -> None:
            old = "DELETE FROM secrets WHERE owner_id = ? AND function_id = ? AND name = ?"
            db.execute(old, (secret.owner_id, secret.function_id, secret.name))
            SECRETS.insert(db, secret)
            note_change(db, "function", secret.function_id, secret.owner_id)

        await self._db.write(work)

    async def list(self, owner_id: str, function_id: str) -> Sequence[Secret]:
        where = "owner_id = ? AND function_id = ? ORDER BY name"
        return await self._db.read(lambda db: SECRETS.all(db, where, (owner_id, function_id)))

    async def delete(self, owner_id: str, function_id: str, name: str) -> bool:
        statement = "DELETE FROM secrets WHERE owner_id = ? AND function_id = ? AND name = ?"

        def work(db: sqlite3.Connection) -> bool:
            if db.execute(statement, (owner_id, function_id, name)).rowcount == 0:
                return False
            note_change(db, "function", function_id, owner_id)
            return True

        return await self._db.write(work)
