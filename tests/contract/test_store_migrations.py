"""Two releases beside each other on one store: expand first, contract a release later. What every store guarantees."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from cloudserve.core.store import mongo, sqlite
from cloudserve.core.store.abc import Store, StoreError
from cloudserve.core.store.mongo import MongoStore
from cloudserve.core.store.mongo.database import Database
from cloudserve.core.store.schema import Migration
from cloudserve.core.store.sqlite import SqliteStore
from tests.contract.backends import StoreBackend
from tests.contract.records import an_owner


async def _add_nicknames(database: Database) -> None:
    await database["owners"].update_many({"_id": {"$gt": ""}, "nickname": None}, {"$set": {"nickname": "?"}})


async def _drop_nicknames(database: Database) -> None:
    await database["owners"].update_many({"_id": {"$gt": ""}}, {"$unset": {"nickname": ""}})


CHANGES: Final[dict[str, tuple[Any, Any, Any]]] = {
    "sqlite": (
        sqlite.schema,
        "ALTER TABLE owners ADD COLUMN nickname TEXT NOT NULL DEFAULT '?';\nCREATE TABLE nicknames (x);\n",
        "DROP TABLE nicknames;\n",
    ),
    "mongo": (mongo.schema, _add_nicknames, _drop_nicknames),
}
Release = Callable[[int], Store]


@pytest.fixture
def release(store_backend: StoreBackend, monkeypatch: pytest.MonkeyPatch) -> Release:
    """Returns a store as the code of a release has it: 1 is today's, 2 expands the schema, 3 contracts it."""
    schema, expansion, contraction = CHANGES[store_backend.name]
    today = schema.MIGRATIONS
    steps = (Migration(expansion), Migration(contraction, needs=len(today) + 1))

    def of(number: int) -> Store:
        store = store_backend.store()
        opening = store.open

        async def open_as() -> None:
            with monkeypatch.context() as patch:
                patch.setattr(schema, "MIGRATIONS", (*today, *steps[: number - 1]))
                await opening()

        monkeypatch.setattr(store, "open", open_as)
        return store

    return of


async def _nickname(store: Store, owner_id: str) -> object:
    if isinstance(store, MongoStore):
        document = await store._db["owners"].find_one({"_id": owner_id})
        return document and document.get("nickname")
    assert isinstance(store, SqliteStore)
    statement = "SELECT nickname FROM owners WHERE id = ?"
    return await store._db.read(lambda db: db.execute(statement, (owner_id,)).fetchone()[0])


async def test_an_expansion_leaves_the_release_before_at_work(release: Release) -> None:
    """It was open already, or opens now; what it writes keeps what it does not know of."""
    old, new, late = release(1), release(2), release(1)
    await old.open()
    await old.owners.add(owner := an_owner(full_name="Ann"))
    await new.open()
    await late.open()
    for number, store in enumerate((old, late, new, old)):
        owner.full_name = f"Ann {number}"
        assert await store.owners.update(owner)
        assert await new.owners.get(owner.id) == owner
        assert await store.owners.get(owner.id) == owner
        assert await _nickname(new, owner.id) == "?"
        await store.owners.add(an_owner())
    for store in (old, new, late):
        await store.close()
    again = release(2)
    await again.open()
    assert await _nickname(again, owner.id) == "?"
    await again.close()


async def test_a_contraction_ends_what_does_not_know_the_expansion(release: Release) -> None:
    """Its message says what to do; the release with the expansion may go on."""
    for number in (1, 2, 3):
        store = release(number)
        await store.open()
        await store.close()
    for _ in range(2):
        with pytest.raises(StoreError, match=r"has schema 2, .* run the CloudServe that wrote it, or a later one"):
            await release(1).open()
    for number in (2, 3):
        store = release(number)
        await store.open()
        await store.owners.add(an_owner())
        await store.close()


async def test_a_store_is_made_by_any_release(release: Release) -> None:
    """All migrations run at once on an empty one."""
    store = release(3)
    await store.open()
    await store.owners.add(an_owner())
    await store.close()
