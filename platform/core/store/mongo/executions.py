"""What is known of calls: light usage records, counted in their functions' stats, and heavy logs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from cloudserve.core.ids import new_id
from cloudserve.core.models.execution import ExecutionLog, ExecutionStatus, Usage
from cloudserve.core.store import abc
from cloudserve.core.store.mongo.collection import Collection
from cloudserve.core.store.mongo.database import Database
from cloudserve.core.store.mongo.functions import FunctionRows
from cloudserve.core.store.mongo.tally import Tally

R = TypeVar("R", bound=Usage | ExecutionLog)


class _Calls(Generic[R]):
    """What both kinds of records have in common."""

    def __init__(self, database: Database, name: str, model: type[R]) -> None:
        self.rows: Collection[R] = Collection(database, name, model)
        self._functions = FunctionRows(database)

    async def of_functions_that_exist(self, records: Sequence[R]) -> Sequence[R]:
        """Leaves out records of functions that there are not, or that are another's."""
        owners = await self._functions.owners_of(record.function_id for record in records)
        return [record for record in records if owners.get(record.function_id) == record.owner_id]

    async def add_new(self, records: Sequence[R]) -> None:
        """Adds records that nothing counts; takes those back whose function has gone in between."""
        new = await self.rows.add_new(await self.of_functions_that_exist(records))
        kept = {record.id for record in await self.of_functions_that_exist(new)}
        orphans = [record.id for record in new if record.id not in kept]
        if orphans:
            await self.rows.remove_all({"_id": {"$in": orphans}})

    async def get(self, owner_id: str, function_id: str, id_: str) -> R | None:
        return await self.rows.get({"_id": id_, "owner_id": owner_id, "function_id": function_id})

    async def delete(self, owner_id: str, function_id: str, id_: str | None) -> int:
        where = {"owner_id": owner_id, "function_id": function_id}
        if id_ is None:
            return await self.rows.remove_in_steps(where)
        return await self.rows.remove_all({"_id": id_, **where})

    async def sweep(self, before: datetime) -> int:
        return await self.rows.remove_in_steps({"created_at": {"$lt": before}})


class MongoUsages(abc.Usages):
    """Light records of calls."""

    def __init__(self, database: Database, tally: Tally) -> None:
        self._calls = _Calls(database, "usages", Usage)
        self._tally = tally

    async def record(self, usages: Sequence[Usage]) -> None:
        token = new_id()
        new = await self._calls.rows.add_new(await self._calls.of_functions_that_exist(usages), tally=token)
        await self._tally.count(token, new)

    async def restore(self, usages: Sequence[Usage]) -> None:
        await self._calls.add_new(usages)

    async def latest(self, owner_id: str, *, limit: int = 20) -> Sequence[Usage]:
        return await self._calls.rows.list({"owner_id": owner_id}, limit=limit)

    async def list(self, owner_id: str, function_id: str, *, limit: int, cursor: str | None = None) -> abc.Page[Usage]:
        where = {"owner_id": owner_id, "function_id": function_id}
        return await self._calls.rows.page(where, limit=limit, cursor=cursor)

    async def get(self, owner_id: str, function_id: str, usage_id: str) -> Usage | None:
        return await self._calls.get(owner_id, function_id, usage_id)

    async def delete(self, owner_id: str, function_id: str, usage_id: str | None = None) -> int:
        return await self._calls.delete(owner_id, function_id, usage_id)

    async def sweep(self, before: datetime) -> int:
        return await self._calls.sweep(before)


class MongoLogs(abc.Logs):
    """Heavy records of calls."""

    def __init__(self, database: Database) -> None:
        self._calls = _Calls(database, "logs", ExecutionLog)

    async def record(self, logs: Sequence[ExecutionLog]) -> None:
        await self._calls.add_new(logs)

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
        where: dict[str, Any] = {"owner_id": owner_id, "function_id": function_id}
        if status is not None:
            where["status"] = status
        if after is not None:
            where["_id"] = {"$gt": after}
        return await self._calls.rows.page(where, limit=limit, cursor=cursor)

    async def get(self, owner_id: str, function_id: str, log_id: str) -> ExecutionLog | None:
        return await self._calls.get(owner_id, function_id, log_id)

    async def delete(self, owner_id: str, function_id: str, log_id: str | None = None) -> int:
        return await self._calls.delete(owner_id, function_id, log_id)

    async def sweep(self, before: datetime) -> int:
        return await self._calls.sweep(before)
