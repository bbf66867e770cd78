"""The change feed: an order that every gateway agrees on, and no change that is never told of.

One document, the head, gives the order: a change is told of by one update of it, which counts `cursor` up and appends
to `recent`. Updates of one document come one after the other, so cursors follow the order in which changes were told
of; who has seen one has seen all before it. There is nothing to wait for or to look back at.

A change and the word of it are two writes. What a writer is about to change stands in the head's `intents` before it
does so, and goes with the update that tells of it. What a writer left there when it was killed, or lost the server, is
told of by another service's `Keeper`. To tell of something that has not changed does no harm.

What is not recent any more is in `changes`, one row for each thing with the cursor of its last change. `base` is the
cursor after which `recent` begins: always `cursor == base + len(recent)`.
"""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, NamedTuple

from pymongo import ReturnDocument, UpdateOne

from cloudserve.core.ids import new_id
from cloudserve.core.store.abc import Change, Gone, Taken, Unavailable
from cloudserve.core.store.mongo.client import Document, translated
from cloudserve.core.store.mongo.database import Database

AT_ONCE: Final = 1_000
RECENT: Final = 100
"""As many recent changes make room: the head is read by every gateway twice a second, and written with each change."""

_HEAD: Final = {"_id": "head"}

_log = logging.getLogger(__name__)


class Thing(NamedTuple):
    """What has changed, or is about to."""

    kind: Literal["owner", "function", "key"]
    id: str
    owner_id: str


class Intent(NamedTuple):
    """What a writer is about to do; `ends` says that things end, with all that belongs to them."""

    things: Sequence[Thing]
    ends: bool


class Feed:
    """The feed of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._folding = False

    async def prepare(self) -> None:
        """Makes the head if there is none."""
        begin = {"cursor": 0, "base": 0, "recent": [], "intents": {}}
        with translated():
            await self._database["feed"].update_one(_HEAD, {"$setOnInsert": begin}, upsert=True)

    @asynccontextmanager
    async def telling(self, *things: Thing, ends: bool = False) -> AsyncIterator["Telling"]:
        """Surrounds a change of things: tells of it when the block has ended, whatever becomes of this process.

        A block that says `nothing`, or raises `Taken` or `Gone`, has changed nothing. When it fails in another way,
        nobody knows, so the keeper tells. After `done`, an absent server is no error of the caller's any more.
        """
        telling = Telling(self, things)
        intent = {"things": [thing._asdict() for thing in things], "ends": ends}
        await self._update({"$set": {f"intents.{telling.token}": intent}})
        try:
            yield telling
        except (Taken, Gone):
            await telling.withdraw()
            raise
        except Unavailable as error:
            if not telling.is_done:
                raise
            _log.warning("what follows from a change is left for later: %s", error)
        else:
            await telling.end()

    async def tell(self, things: Sequence[Thing], token: str | None = None) -> None:
        """Tells of changes, and takes back the intent `token`."""
        told = [{"token": new_id(), **thing._asdict()} for thing in things]
        update: dict[str, Any] = {"$inc": {"cursor": len(told)}, "$push": {"recent": {"$each": told}}}
        if token is not None:
            update["$unset"] = {f"intents.{token}": ""}
        head = await self._update(update)
        if len(head["recent"]) >= RECENT and not self._folding:
            self._folding = True
            try:
                await self._fold(head)
            finally:
                self._folding = False

    async def withdraw(self, token: str) -> None:
        """Takes back an intent."""
        await self._update({"$unset": {f"intents.{token}": ""}})

    async def intents(self) -> dict[str, Intent]:
        """Returns what somebody is about to change, or was when it was killed, by token."""
        with translated():
            head = await self._database["feed"].find_one(_HEAD, {"intents": 1})
        found = {} if head is None else head.get("intents", {})
        return {
            token: Intent([Thing(**thing) for thing in intent["things"]], intent["ends"])
            for token, intent in found.items()
        }

    async def last(self) -> int:
        """Returns the newest cursor."""
        with translated():
            head = await self._database["feed"].find_one(_HEAD, {"cursor": 1})
        return 0 if head is None else int(head["cursor"])

    async def changes(self, after: int) -> Sequence[Change]:
        """Returns what changed after a cursor, oldest first, at most `AT_ONCE`.

        A cursor that is newer than the newest comes from before a backup was put back: it is told everything.
        """
        with translated():
            head = await self._database["feed"].find_one({**_HEAD, "cursor": {"$ne": after}}, {"intents": 0})
        if head is None:
            return []
        after = after if after < head["cursor"] else 0
        base = head["base"]
        older = await self._older(after, base) if after < base else []
        recent = [
            _change(base + number, told) for number, told in enumerate(head["recent"], 1) if base + number > after
        ]
        return [*older, *recent][:AT_ONCE]

    async def _older(self, after: int, base: int) -> list[Change]:
        # A row that a later change has moved beyond `base` in the meantime is told of in its new place.
        with translated():
            rows = self._database["changes"].find({"cursor": {"$gt": after, "$lte": base}}, sort=[("cursor", 1)])
            return [_change(row["cursor"], row) for row in await rows.limit(AT_ONCE).to_list()]

    async def _fold(self, head: Document) -> None:
        """Moves recent changes to their rows. Rows come first, so that a reader finds each change in at least one."""
        base, told = head["base"], head["recent"]
        newest = {(row["kind"], row["id"]): (number, row) for number, row in enumerate(told, base + 1)}
        rows = [
            UpdateOne(
                {"_id": f"{kind}/{id_}"},
                {
                    "$max": {"cursor": cursor},
                    "$setOnInsert": {name: row[name] for name in Thing._fields},
                },
                upsert=True,
            )
            for (kind, id_), (cursor, row) in newest.items()
        ]
        with translated():
            await self._database["changes"].bulk_write(rows, ordered=False)
            # Whoever moves `base` has taken away what was counted up to there; others find another `base`.
            await self._database["feed"].update_one(
                {**_HEAD, "base": base},
                {
                    "$inc": {"base": len(told)},
                    "$pull": {"recent": {"token": {"$in": [row["token"] for row in told]}}},
                },
            )

    async def _update(self, update: dict[str, Any]) -> Document:
        with translated():
            head: Document | None = await self._database["feed"].find_one_and_update(
                _HEAD, update, projection={"intents": 0}, return_document=ReturnDocument.AFTER
            )
        if head is None:
            raise Unavailable("the database was emptied while services used it: start them again")
        return head


class Telling:
    """A change under way, and what its block says of it."""

    def __init__(self, feed: Feed, things: Sequence[Thing]) -> None:
        self.token = new_id()
        self.is_done = False
        self._feed = feed
        self._things = things
        self._told = False

    def nothing(self) -> None:
        """Nothing has changed."""
        self._told = True

    async def done(self) -> None:
        """The change is in the database: tells of it now, because what follows from it takes time."""
        self.is_done = True
        await self._feed.tell(self._things)
        self._told = True

    async def withdraw(self) -> None:
        """Takes the intent back, or leaves it: a needless word does no harm."""
        try:
            await self._feed.withdraw(self.token)
        except Unavailable as error:
            _log.warning("a change that was refused will be told of: %s", error)

    async def end(self) -> None:
        """Tells of the change unless that was done, and takes the intent back."""
        if self._told:
            await self.withdraw()
            return
        try:
            await self._feed.tell(self._things, self.token)
        except Unavailable as error:
            _log.warning("a change will be told of when the store is back: %s", error)


def _change(cursor: int, row: Document) -> Change:
    return Change(cursor=cursor, kind=row["kind"], id=row["id"], owner_id=row["owner_id"])
