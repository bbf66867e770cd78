"""Counts records of calls in their functions' stats, each exactly once, whoever is killed in between.

A record is added with the batch it came in as its `tally`, a token. One update of the function then adds the batch's
sums and notes the token in `tallies`, unless the token is there or in `fenced`. After that the records lose their
`tally`, and the function its note. So at any moment:

- a record without `tally` has been counted;
- one with a `tally` that its function has noted has been counted;
- one with any other `tally` has not, and belongs to whoever brought it in.

When that one is lost, `settle` forbids the function ever to count the token (`fenced`), gives the records another one
by a single command, so that each goes to one taker alone, and counts what it got. It may run beside a writer that was
only slow: either the writer's update comes first, and there is nothing to settle, or it is refused.
"""

from collections import defaultdict
from collections.abc import Collection as Group
from collections.abc import Sequence
from typing import Any, Final

from pymongo import UpdateOne

from cloudserve.core.ids import new_id
from cloudserve.core.models.execution import Usage
from cloudserve.core.store.mongo.client import translated
from cloudserve.core.store.mongo.collection import Collection
from cloudserve.core.store.mongo.database import Database
from cloudserve.core.store.mongo.functions import FunctionRows

FENCES: Final = 100
"""Tokens that a function remembers as forbidden: a writer must be that many losses late to slip through."""

_AT_ONCE: Final = 1_000


class Tally:
    """The counting of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._functions = FunctionRows(database)
        self._usages = Collection(database, "usages", Usage)

    async def count(self, token: str, usages: Sequence[Usage]) -> None:
        """Counts records that were added with `tally` `token`; those whose function has gone are taken back."""
        by_function: defaultdict[str, list[Usage]] = defaultdict(list)
        for usage in usages:
            by_function[usage.function_id].append(usage)
        if not by_function:
            return
        additions = [UpdateOne(_uncounted(id_, token), _addition(token, group)) for id_, group in by_function.items()]
        with translated():
            result = await self._database["functions"].bulk_write(additions, ordered=False)
        counted: Group[str] = by_function.keys()
        if result.matched_count < len(by_function):
            counted = await self._noted(token, by_function.keys())
            gone = by_function.keys() - await self._functions.owners_of(by_function.keys())
            await self._usages.remove_all({"tally": token, "function_id": {"$in": sorted(gone)}})
        await self._close(token, counted)

    async def open(self) -> set[tuple[str, str]]:
        """Returns tokens of records that have not been counted, or not been marked so, each with its function."""
        documents = await self._usages.raw({"tally": {"$gt": ""}}, ["tally", "function_id"], limit=_AT_ONCE)
        return {(document["tally"], document["function_id"]) for document in documents}

    async def settle(self, token: str, function_id: str) -> None:
        """Counts, in place of its writer, what has not been counted of a batch."""
        fence = {"$push": {"fenced": {"$each": [token], "$slice": -FENCES}}}
        if await self._functions.alter({"_id": function_id, "tallies": {"$ne": token}}, fence):
            mine = new_id()
            await self._usages.alter_all({"tally": token, "function_id": function_id}, {"$set": {"tally": mine}})
            await self.count(mine, await self._usages.list({"tally": mine}))
        elif await self._functions.has({"_id": function_id}):
            await self._close(token, [function_id])
        else:
            await self._usages.remove_all({"tally": token, "function_id": function_id})

    async def _noted(self, token: str, function_ids: Group[str]) -> Group[str]:
        noted = {"_id": {"$in": sorted(function_ids)}, "tallies": token}
        return {document["_id"] for document in await self._functions.raw(noted, ["_id"])}

    async def _close(self, token: str, function_ids: Group[str]) -> None:
        """Marks a batch's records as counted, and then forgets its token."""
        ids = sorted(function_ids)
        await self._usages.alter_all({"tally": token, "function_id": {"$in": ids}}, {"$unset": {"tally": ""}})
        await self._functions.alter_all({"_id": {"$in": ids}, "tallies": token}, {"$pull": {"tallies": token}})


def _uncounted(function_id: str, token: str) -> dict[str, Any]:
    return {"_id": function_id, "tallies": {"$ne": token}, "fenced": {"$ne": token}}


def _addition(token: str, usages: Sequence[Usage]) -> dict[str, Any]:
    return {
        "$inc": {
            "executed": len(usages),
            "errors": sum(usage.status != "success" for usage in usages),
            "total_latency": float(sum(usage.duration for usage in usages)),
            "total_memory": float(sum(usage.memory_used for usage in usages)),
        },
        "$max": {"last_executed": max(usage.start_time for usage in usages)},
        "$push": {"tallies": token},
    }
