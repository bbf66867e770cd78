"""Owners, and what they sign in with: keys, sessions and codes."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from cloudserve.core.models.owner import ApiKey, Code, Owner, Session
from cloudserve.core.store import abc
from cloudserve.core.store.sqlite.database import Database
from cloudserve.core.store.sqlite.rows import Table, milliseconds, note_change


class _OwnerTable(Table[Owner]):
    def values(self, record: Owner) -> dict[str, Any]:
        return super().values(record) | {"email_folded": None if record.email is None else record.email.casefold()}


OWNERS: Final = _OwnerTable("owners", Owner, "name", "google_subject", "password_hash")
KEYS: Final = Table("keys", ApiKey, "owner_id", "kind", "key_hash", times=["last_used_at"])
SESSIONS: Final = Table("sessions", Session, "owner_id", "token_hash", times=["expires_at"])
CODES: Final = Table("codes", Code, "owner_id", "purpose", "attempts")


class SqliteOwners(abc.Owners):
    """Users and teams."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(self, owner: Owner) -> None:
        def work(db: sqlite3.Connection) -> None:
            OWNERS.insert(db, owner)
            note_change(db, "owner", owner.id, owner.id)

        await self._db.write(work)

    async def get(self, owner_id: str) -> Owner | None:
        return await self._db.read(lambda db: OWNERS.one(db, "id = ?", (owner_id,)))

    async def by_name(self, name: str) -> Owner | None:
        return await self._db.read(lambda db: OWNERS.one(db, "name = ?", (name,)))

    async def by_email(self, email: str) -> Owner | None:
        return await self._db.read(lambda db: OWNERS.one(db, "email_folded = ?", (email.casefold(),)))

    async def by_google_subject(self, subject: str) -> Owner | None:
        return await self._db.read(lambda db: OWNERS.one(db, "google_subject = ?", (subject,)))

    async def update(self, owner: Owner) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            before = OWNERS.one(db, "id = ?", (owner.id,))
            if before is None:
                return False
            OWNERS.replace(db, owner)
            if (before.name, before.is_active) != (owner.name, owner.is_active):
                note_change(db, "owner", owner.id, owner.id)
            return True

        return await self._db.write(work)

    async def delete(self, owner_id: str) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            _end_keys(db, KEYS.all(db, "owner_id = ?", (owner_id,)))
            db.execute("DELETE FROM sessions WHERE owner_id = ?", (owner_id,))
            db.execute("DELETE FROM codes WHERE owner_id = ?", (owner_id,))
            if db.execute("DELETE FROM owners WHERE id = ?", (owner_id,)).rowcount == 0:
                return False
            note_change(db, "owner", owner_id, owner_id)
            return True

        return await self._db.write(work)

    async def list(self, *, limit: int, cursor: str | None = None) -> abc.Page[Owner]:
        return await self._db.read(lambda db: OWNERS.page(db, "TRUE", (), limit=limit, cursor=cursor))


class SqliteKeys(abc.Keys):
    """API keys."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(self, key: ApiKey) -> None:
        def work(db: sqlite3.Connection) -> None:
            KEYS.insert(db, key)
            note_change(db, "key", key.id, key.owner_id)

        await self._db.write(work)

    async def replace_default(self, key: ApiKey) -> None:
        def work(db: sqlite3.Connection) -> None:
            _end_keys(db, KEYS.all(db, "owner_id = ? AND kind = 'default'", (key.owner_id,)))
            KEYS.insert(db, key)
            note_change(db, "key", key.id, key.owner_id)

        await self._db.write(work)

    async def by_hash(self, key_hash: str) -> ApiKey | None:
        return await self._db.read(lambda db: KEYS.one(db, "key_hash = ?", (key_hash,)))

    async def default_of(self, owner_id: str) -> ApiKey | None:
        return await self._db.read(lambda db: KEYS.one(db, "owner_id = ? AND kind = 'default'", (owner_id,)))

    async def list(self, owner_id: str) -> Sequence[ApiKey]:
        return await self._db.read(lambda db: KEYS.all(db, "owner_id = ? ORDER BY id DESC", (owner_id,)))

    async def delete(self, owner_id: str, key_id: str) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            keys = KEYS.all(db, "owner_id = ? AND id = ?", (owner_id, key_id))
            _end_keys(db, keys)
            return bool(keys)

        return await self._db.write(work)

    async def touch(self, uses: Mapping[str, datetime]) -> None:
        times = [{"id": key_id, "at": milliseconds(at)} for key_id, at in uses.items()]
        statement = "UPDATE keys SET last_used_at = :at WHERE id = :id AND ifnull(last_used_at, 0) < :at"
        await self._db.write(lambda db: db.executemany(statement, times))


def _end_keys(db: sqlite3.Connection, keys: Sequence[ApiKey]) -> None:
    for key in keys:
        db.execute("DELETE FROM keys WHERE id = ?", (key.id,))
        note_change(db, "key", key.id, key.owner_id)


class SqliteSessions(abc.Sessions):
    """Signed-in browsers and CLIs."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(self, session: Session) -> None:
        await self._db.write(lambda db: SESSIONS.insert(db, session))

    async def by_hash(self, token_hash: str) -> Session | None:
        return await self._db.read(lambda db: SESSIONS.one(db, "token_hash = ?", (token_hash,)))

    async def list(self, owner_id: str) -> Sequence[Session]:
        return await self._db.read(lambda db: SESSIONS.all(db, "owner_id = ? ORDER BY id DESC", (owner_id,)))

    async def delete(self, token_hash: str) -> bool:
        statement = "DELETE FROM sessions WHERE token_hash = ?"
        return await self._db.write(lambda db: db.execute(statement, (token_hash,)).rowcount > 0)

    async def delete_of(self, owner_id: str, *, keep: str | None = None) -> int:
        statement = "DELETE FROM sessions WHERE owner_id = ? AND token_hash IS NOT ?"
        return await self._db.write(lambda db: db.execute(statement, (owner_id, keep)).rowcount)

    async def sweep(self, now: datetime) -> int:
        statement = "DELETE FROM sessions WHERE expires_at < ?"
        return await self._db.write(lambda db: db.execute(statement, (milliseconds(now),)).rowcount)


class SqliteCodes(abc.Codes):
    """Codes sent by mail."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def put(self, code: Code) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM codes WHERE owner_id = ? AND purpose = ?", (code.owner_id, code.purpose))
            CODES.insert(db, code)

        await self._db.write(work)

    async def attempt(self, owner_id: str, purpose: Literal["verify", "reset"], *, limit: int) -> Code | None:
        def work(db: sqlite3.Connection) -> Code | None:
            code = CODES.one(db, "owner_id = ? AND purpose = ? AND attempts < ?", (owner_id, purpose, limit))
            if code is not None:
                code.attempts += 1
                db.execute("UPDATE codes SET attempts = ? WHERE id = ?", (code.attempts, code.id))
            return code

        return await self._db.write(work)

    async def delete(self, owner_id: str, purpose: Literal["verify", "reset"]) -> None:
        statement = "DELETE FROM codes WHERE owner_id = ? AND purpose = ?"
        await self._db.write(lambda db: db.execute(statement, (owner_id, purpose)))
