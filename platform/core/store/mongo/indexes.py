"""Every index of the database, in one table: what is looked up must start with the first field of one of them.

`_id` has an index of its own on every collection. The tests hold each filter that is sent to this table.
"""

from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Any, Final

from pymongo import ASCENDING, IndexModel
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

Document = dict[str, Any]

_OTHER_OPTIONS: Final = 85
"""IndexOptionsConflict: https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml"""


@dataclass(frozen=True, slots=True)
class Index:
    """One index. `sparse` leaves out documents without its field; `expires` marks the time after which one may go.

    A record that expires does so at that time if `expires` is "then", or when it was kept for as long as the platform
    keeps records, if it is "kept".
    """

    collection: str
    fields: tuple[str, ...]
    unique: bool = False
    sparse: bool = False
    expires: str = ""

    @property
    def name(self) -> str:
        """The name in the database."""
        return "_".join(self.fields)

    @property
    def attribute(self) -> str:
        """What a second document with the same values is told to be taken: `name` of `owner_id_name`."""
        return self.fields[-1].removesuffix("_folded")

    def model(self, keep: timedelta | None) -> IndexModel:
        """Returns what the driver makes it from. Records that expire are left to the sweeps if `keep` is None."""
        options: dict[str, Any] = {"name": self.name}
        if self.unique:
            options["unique"] = True
        if self.sparse:
            options["sparse"] = True
        if self.expires and keep is not None:
            options["expireAfterSeconds"] = 0 if self.expires == "then" else int(keep.total_seconds())
        return IndexModel([(field, ASCENDING) for field in self.fields], **options)


INDEXES: Final = (
    Index("owners", ("name",), unique=True),
    Index("owners", ("email_folded",), unique=True, sparse=True),
    Index("owners", ("google_subject",), unique=True, sparse=True),
    Index("keys", ("id",), unique=True),
    Index("keys", ("key_hash",), unique=True),
    Index("keys", ("owner_id", "id")),
    Index("sessions", ("token_hash",), unique=True),
    Index("sessions", ("owner_id", "_id")),
    Index("sessions", ("expires_at",), expires="then"),
    Index("codes", ("owner_id",)),
    Index("functions", ("owner_id", "name"), unique=True),
    Index("functions", ("owner_id", "_id")),
    Index("versions", ("owner_id", "function_id", "number"), unique=True),
    Index("versions", ("function_id",)),
    Index("builds", ("owner_id", "function_id", "_id")),
    Index("builds", ("function_id", "_id")),
    Index("builds", ("unfinished", "_id"), sparse=True),
    Index("secrets", ("owner_id", "function_id", "name")),
    Index("secrets", ("function_id",)),
    Index("usages", ("owner_id", "_id")),
    Index("usages", ("owner_id", "function_id", "_id")),
    Index("usages", ("function_id",)),
    Index("usages", ("created_at",), expires="kept"),
    Index("usages", ("tally",), sparse=True),
    Index("logs", ("owner_id", "function_id", "_id")),
    Index("logs", ("owner_id", "function_id", "status", "_id")),
    Index("logs", ("function_id",)),
    Index("logs", ("created_at",), expires="kept"),
    Index("changes", ("cursor",)),
    Index("graves", ("at",)),
)


async def ensure(database: AsyncDatabase[Document], keep: timedelta | None) -> None:
    """Makes the indexes that are missing; several services may do so at once.

    An index that exists without or with another time to live is made anew if `keep` says how long.
    """
    for collection, indexes in groupby(INDEXES, key=lambda index: index.collection):
        rows = list(indexes)
        try:
            await database[collection].create_indexes([index.model(keep) for index in rows])
        except OperationFailure as error:
            if error.code != _OTHER_OPTIONS:
                raise
            for index in rows:
                await _ensure_one(database, index, keep)


async def _ensure_one(database: AsyncDatabase[Document], index: Index, keep: timedelta | None) -> None:
    try:
        await database[index.collection].create_indexes([index.model(keep)])
    except OperationFailure as error:
        if error.code != _OTHER_OPTIONS:
            raise
        if keep is not None:
            await database[index.collection].drop_index(index.name)
            await database[index.collection].create_indexes([index.model(keep)])
