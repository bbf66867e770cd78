"""The records of one kind, and the few commands that this package sends about them.

Each command changes one document, or many of which each may change by itself. Upserts have a filter of `_id` alone, so
that the server itself repeats one that another has outrun ("Upsert with Duplicate Values" in
https://www.mongodb.com/docs/manual/reference/method/db.collection.updateOne/).

What a document has beside the attributes of its model is ours, or of a later CloudServe that runs beside this one: it
is passed over when records are read, and left in place when they are changed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from pydantic import SecretStr
from pymongo import DESCENDING, ReturnDocument
from pymongo.errors import BulkWriteError

from cloudserve.core.models.base import Record
from cloudserve.core.store.abc import Page
from cloudserve.core.store.mongo.client import DUPLICATE, Document, translated
from cloudserve.core.store.mongo.database import Database

R = TypeVar("R", bound=Record)
Where = Mapping[str, Any]

NEWEST_FIRST: Final = (("_id", DESCENDING),)
AT_ONCE: Final = 2_000
"""Documents that one command of a sweep deletes at most."""


class Collection(Generic[R]):
    """One collection. `_id` is the record's id, unless `slot` says that records of a kind share a place."""

    def __init__(self, database: Database, name: str, model: type[R]) -> None:
        self.name = name
        self._database = database
        self._model = model
        self._attributes = set(model.model_fields)

    @property
    def fields(self) -> set[str]:
        """The fields of a document that follow from its record."""
        return self._attributes

    def slot(self, record: R) -> str:
        """Returns the `_id` of a record's document; what is put into a taken place replaces what was there."""
        return record.id

    def document(self, record: R) -> Document:
        """Returns a record as a document; what is None is not in it, so that a sparse index leaves it out."""
        values = {name: _kept(value) for name, value in record.model_dump().items() if value is not None}
        slot = self.slot(record)
        if slot == record.id:
            del values["id"]
        return {"_id": slot, **values}

    def record(self, document: Document) -> R:
        """Returns the record of a document."""
        values = {name: document[name] for name in self._attributes & document.keys()}
        return self._model.model_validate({"id": document["_id"], **values})

    async def get(self, where: Where) -> R | None:
        """Returns the one record that a filter finds."""
        with translated():
            document = await self._database[self.name].find_one(where)
        return None if document is None else self.record(document)

    async def has(self, where: Where) -> bool:
        """Tells whether a filter finds anything."""
        with translated():
            return await self._database[self.name].find_one(where, {"_id": 1}) is not None

    async def list(
        self, where: Where, *, sort: Sequence[tuple[str, int]] = NEWEST_FIRST, limit: int = 0
    ) -> Sequence[R]:
        """Returns the records that a filter finds, in the order of `sort`; all of them if `limit` is 0."""
        with translated():
            documents = await self._database[self.name].find(where, sort=list(sort), limit=limit).to_list()
        return [self.record(document) for document in documents]

    async def raw(self, where: Where, fields: Sequence[str], *, limit: int = 0) -> Sequence[Document]:
        """Returns some fields of the documents that a filter finds, by `_id`."""
        with translated():
            found = self._database[self.name].find(where, dict.fromkeys(fields, 1), sort=[("_id", 1)], limit=limit)
            return await found.to_list()

    async def page(self, where: Where, *, limit: int, cursor: str | None) -> Page[R]:
        """Returns the newest records that a filter finds, from `cursor` on."""
        if cursor is not None:
            where = {**where, "_id": {**where.get("_id", {}), "$lt": cursor}}
        rows = await self.list(where, limit=limit + 1)
        return Page(rows[:limit], rows[limit - 1].id if len(rows) > limit else None)

    async def add(self, record: R) -> None:
        """Adds a record. Raises `Taken`."""
        with translated():
            await self._database[self.name].insert_one(self.document(record))

    async def add_new(self, records: Sequence[R], **extra: Any) -> Sequence[R]:
        """Adds those records whose id is not there yet, with `extra` fields; returns them."""
        if not records:
            return []
        documents = [self.document(record) | extra for record in records]
        with translated():
            try:
                await self._database[self.name].insert_many(documents, ordered=False)
            except BulkWriteError as error:
                refused = error.details["writeErrors"]
                if error.details.get("writeConcernErrors") or any(one["code"] != DUPLICATE for one in refused):
                    raise
                known = {one["index"] for one in refused}
                return [record for index, record in enumerate(records) if index not in known]
        return records

    async def put(self, record: R) -> None:
        """Puts a record into its place, whatever was there. Raises `Taken` for values that other indexes hold."""
        document = self.document(record)
        with translated():
            await self._database[self.name].replace_one({"_id": document["_id"]}, document, upsert=True)

    async def rewrite(self, where: Where, record: R) -> bool:
        """Writes a record over the one that a filter finds. Raises `Taken`."""
        document = self.document(record)
        del document["_id"]
        missing = self.fields - document.keys()
        change = {"$set": document} | ({"$unset": dict.fromkeys(missing, "")} if missing else {})
        return await self.alter(where, change)

    async def change(
        self, where: Where, change: Mapping[str, Any], *, sort: Sequence[tuple[str, int]] | None = None
    ) -> R | None:
        """Changes the first record that a filter finds, and returns it as it is then."""
        with translated():
            document: Document | None = await self._database[self.name].find_one_and_update(
                where, change, sort=None if sort is None else list(sort), return_document=ReturnDocument.AFTER
            )
        return None if document is None else self.record(document)

    async def alter(self, where: Where, change: Mapping[str, Any]) -> bool:
        """Changes the one document that a filter finds; tells whether there is one."""
        with translated():
            result = await self._database[self.name].update_one(where, change)
        return result.matched_count > 0

    async def alter_all(self, where: Where, change: Mapping[str, Any]) -> None:
        """Changes every document that a filter finds."""
        with translated():
            await self._database[self.name].update_many(where, change)

    async def remove(self, where: Where) -> bool:
        """Deletes the one document that a filter finds; tells whether there was one."""
        with translated():
            return (await self._database[self.name].delete_one(where)).deleted_count > 0

    async def remove_all(self, where: Where) -> int:
        """Deletes every document that a filter finds; returns how many."""
        with translated():
            return (await self._database[self.name].delete_many(where)).deleted_count

    async def remove_in_steps(self, where: Where) -> int:
        """Deletes every document that a filter finds, so that no command takes long; returns how many."""
        removed = 0
        while found := await self.raw_ids(where):
            removed += await self.remove_all({"_id": {"$in": found}})
        return removed

    async def raw_ids(self, where: Where) -> Sequence[str]:
        """Returns the `_id`s of some of the documents that a filter finds."""
        with translated():
            found = await self._database[self.name].find(where, {"_id": 1}, limit=AT_ONCE).to_list()
        return [document["_id"] for document in found]


def _kept(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
