"""Owners, and what they sign in with: keys, sessions and codes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from pymongo import DESCENDING, UpdateOne

from cloudserve.core.models.owner import ApiKey, Code, Owner, Session
from cloudserve.core.store import abc
from cloudserve.core.store.mongo.client import Document, translated
from cloudserve.core.store.mongo.collection import Collection
from cloudserve.core.store.mongo.database import Database
from cloudserve.core.store.mongo.feed import Feed, Thing

_BY_ID: Final = (("id", DESCENDING),)


class _Owners(Collection[Owner]):
    """Mail addresses are found whatever their case."""

    @property
    def fields(self) -> set[str]:
        return {*super().fields, "email_folded"}

    def document(self, record: Owner) -> Document:
        folded = {} if record.email is None else {"email_folded": record.email.casefold()}
        return super().document(record) | folded


class _Keys(Collection[ApiKey]):
    """An owner's default key has a place of its own, so that another takes it in one write."""

    def slot(self, record: ApiKey) -> str:
        return default_slot(record.owner_id) if record.kind == "default" else record.id

    def document(self, record: ApiKey) -> Document:
        return super().document(record) | {"id": record.id}


class _Codes(Collection[Code]):
    """An owner has one code for each purpose."""

    def slot(self, record: Code) -> str:
        return code_slot(record.owner_id, record.purpose)


def default_slot(owner_id: str) -> str:
    """Returns the `_id` of an owner's default key."""
    return f"default/{owner_id}"


def code_slot(owner_id: str, purpose: str) -> str:
    """Returns the `_id` of an owner's code."""
    return f"{owner_id}/{purpose}"


class MongoOwners(abc.Owners):
    """Users and teams. The end of an owner is the end of its row; what it signed in with goes after that."""

    def __init__(self, database: Database, feed: Feed) -> None:
        self._owners = _Owners(database, "owners", Owner)
        self._keys = _Keys(database, "keys", ApiKey)
        self._sessions = Collection(database, "sessions", Session)
        self._codes = _Codes(database, "codes", Code)
        self._feed = feed

    async def add(self, owner: Owner) -> None:
        async with self._feed.telling(_owner(owner.id)):
            await self._owners.add(owner)

    async def get(self, owner_id: str) -> Owner | None:
        return await self._owners.get({"_id": owner_id})

    async def by_name(self, name: str) -> Owner | None:
        return await self._owners.get({"name": name})

    async def by_email(self, email: str) -> Owner | None:
        return await self._owners.get({"email_folded": email.casefold()})

    async def by_google_subject(self, subject: str) -> Owner | None:
        return await self._owners.get({"google_subject": subject})

    async def update(self, owner: Owner) -> bool:
        while True:
            before = await self._owners.get({"_id": owner.id})
            if before is None:
                return False
            # Whether gateways must be told depends on what is replaced, so nothing else may be.
            same = {"_id": owner.id, "name": before.name, "is_active": before.is_active}
            if (before.name, before.is_active) == (owner.name, owner.is_active):
                if await self._owners.rewrite(same, owner):
                    return True
                continue
            async with self._feed.telling(_owner(owner.id)) as telling:
                if await self._owners.rewrite(same, owner):
                    return True
                telling.nothing()

    async def delete(self, owner_id: str) -> bool:
        if not await self._owners.has({"_id": owner_id}):
            return False
        async with self._feed.telling(_owner(owner_id), ends=True) as telling:
            if not await self._owners.remove({"_id": owner_id}):
                telling.nothing()
                return False
            await telling.done()
            await self.clear(owner_id)
        return True

    async def clear(self, owner_id: str) -> None:
        """Deletes what a deleted owner signed in with; nothing when the owner is there."""
        if await self._owners.has({"_id": owner_id}):
            return
        while keys := await self._keys.list({"owner_id": owner_id}, limit=100):
            async with self._feed.telling(*map(_key, keys)):
                await self._keys.remove_all({"id": {"$in": [key.id for key in keys]}})
        await self._sessions.remove_all({"owner_id": owner_id})
        await self._codes.remove_all({"owner_id": owner_id})

    async def list(self, *, limit: int, cursor: str | None = None) -> abc.Page[Owner]:
        return await self._owners.page({}, limit=limit, cursor=cursor)


class MongoKeys(abc.Keys):
    """API keys."""

    def __init__(self, database: Database, feed: Feed) -> None:
        self._keys = _Keys(database, "keys", ApiKey)
        self._database = database
        self._feed = feed

    async def add(self, key: ApiKey) -> None:
        async with self._feed.telling(_key(key)):
            await self._keys.add(key)

    async def replace_default(self, key: ApiKey) -> None:
        slot = {"_id": default_slot(key.owner_id)}
        while True:
            old = await self._keys.get(slot)
            async with self._feed.telling(_key(key), *([] if old is None else [_key(old)])) as telling:
                if old is not None:
                    if await self._keys.rewrite({**slot, "id": old.id}, key):
                        return
                elif await self._added(key):
                    return
                telling.nothing()

    async def _added(self, key: ApiKey) -> bool:
        """Adds a default key; False when another has its place by now."""
        try:
            await self._keys.add(key)
        except abc.Taken as taken:
            if taken.field == "id" and await self._keys.has({"_id": default_slot(key.owner_id)}):
                return False
            raise
        return True

    async def by_hash(self, key_hash: str) -> ApiKey | None:
        return await self._keys.get({"key_hash": key_hash})

    async def default_of(self, owner_id: str) -> ApiKey | None:
        return await self._keys.get({"_id": default_slot(owner_id)})

    async def list(self, owner_id: str) -> Sequence[ApiKey]:
        return await self._keys.list({"owner_id": owner_id}, sort=_BY_ID)

    async def delete(self, owner_id: str, key_id: str) -> bool:
        where = {"owner_id": owner_id, "id": key_id}
        key = await self._keys.get(where)
        if key is None:
            return False
        async with self._feed.telling(_key(key)) as telling:
            ended = await self._keys.remove(where)
            if not ended:
                telling.nothing()
        return ended

    async def touch(self, uses: Mapping[str, datetime]) -> None:
        later = [UpdateOne({"id": key_id}, {"$max": {"last_used_at": at}}) for key_id, at in uses.items()]
        if later:
            with translated():
                await self._database["keys"].bulk_write(later, ordered=False)


class MongoSessions(abc.Sessions):
    """Signed-in browsers and CLIs."""

    def __init__(self, database: Database) -> None:
        self._sessions = Collection(database, "sessions", Session)

    async def add(self, session: Session) -> None:
        await self._sessions.add(session)

    async def by_hash(self, token_hash: str) -> Session | None:
        return await self._sessions.get({"token_hash": token_hash})

    async def list(self, owner_id: str) -> Sequence[Session]:
        return await self._sessions.list({"owner_id": owner_id})

    async def delete(self, token_hash: str) -> bool:
        return await self._sessions.remove({"token_hash": token_hash})

    async def delete_of(self, owner_id: str, *, keep: str | None = None) -> int:
        others: dict[str, Any] = {} if keep is None else {"token_hash": {"$ne": keep}}
        return await self._sessions.remove_all({"owner_id": owner_id, **others})

    async def sweep(self, now: datetime) -> int:
        return await self._sessions.remove_in_steps({"expires_at": {"$lt": now}})


class MongoCodes(abc.Codes):
    """Codes sent by mail."""

    def __init__(self, database: Database) -> None:
        self._codes = _Codes(database, "codes", Code)

    async def put(self, code: Code) -> None:
        await self._codes.put(code)

    async def attempt(self, owner_id: str, purpose: Literal["verify", "reset"], *, limit: int) -> Code | None:
        left = {"_id": code_slot(owner_id, purpose), "attempts": {"$lt": limit}}
        return await self._codes.change(left, {"$inc": {"attempts": 1}})

    async def delete(self, owner_id: str, purpose: Literal["verify", "reset"]) -> None:
        await self._codes.remove({"_id": code_slot(owner_id, purpose)})


def _owner(owner_id: str) -> Thing:
    return Thing("owner", owner_id, owner_id)


def _key(key: ApiKey) -> Thing:
    return Thing("key", key.id, key.owner_id)
