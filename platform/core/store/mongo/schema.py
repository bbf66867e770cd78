"""The database's schema: its indexes, its migrations, and the document that counts those.

Services start together, so a migration may run several times at once: each must come to the same end then.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from cloudserve.core.store.mongo import indexes
from cloudserve.core.store.mongo.client import translated
from cloudserve.core.store.mongo.database import Database
from cloudserve.core.store.schema import Level, Migration

Change = Callable[[Database], Awaitable[None]]

_LEVEL: Final = {"_id": "schema"}


async def _first(_: Database) -> None:
    """The first release needs nothing but the indexes."""


MIGRATIONS: Final[tuple[Migration[Change], ...]] = (Migration(_first, needs=1),)


async def migrate(database: Database, migrations: tuple[Migration[Change], ...], *, keep: timedelta | None) -> None:
    """Brings the database up to date. Raises `StoreError` when it needs a later CloudServe."""
    with translated():
        found = await database["meta"].find_one(_LEVEL)
    before = Level(0, 0) if found is None else Level(found["applied"], found["needs"])
    after = before.after(migrations)
    # Code that can't go on after these migrations is kept out before they begin.
    await _write(database, Level(before.applied, after.needs))
    with translated():
        await indexes.ensure(database.all(), keep)
    for migration in migrations[before.applied :]:
        await migration.change(database)
    await _write(database, after)


async def _write(database: Database, level: Level) -> None:
    change = {"$max": {"applied": level.applied, "needs": level.needs}}
    with translated():
        await database["meta"].update_one(_LEVEL, change, upsert=True)
