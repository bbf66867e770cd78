"""How the file is kept, and what its troubles look like from outside."""

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from cloudserve.core.store.abc import StoreError, Unavailable
from cloudserve.core.store.sqlite import SqliteStore, connection
from cloudserve.core.store.sqlite.connection import connect, transaction
from cloudserve.core.store.sqlite.database import Database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be made, in a folder that is not there yet."""
    return tmp_path / "data" / "x.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    """An open database with one table of numbers."""
    database = Database(path)
    await database.open()
    await database.write(lambda db: db.execute("CREATE TABLE numbers (n)"))
    yield database
    await database.close()


def _count(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM numbers").fetchone()[0])


async def test_only_its_owner_may_read_the_file(path: Path, database: Database) -> None:
    """Neither the database nor what SQLite keeps beside it."""
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.glob("x.db*")} == {0o600}


async def test_a_commit_is_synced(database: Database) -> None:
    """In WAL mode, where FULL (2) syncs the log with each commit."""
    assert await database.read(lambda db: db.execute("PRAGMA journal_mode").fetchone()[0]) == "wal"
    assert await database.write(lambda db: db.execute("PRAGMA synchronous").fetchone()[0]) == 2


async def test_work_that_fails_half_way_leaves_nothing(database: Database) -> None:
    """And the next work is served."""

    def fail(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO numbers VALUES (1)")
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        await database.write(fail)
    assert await database.read(_count) == 0
    await database.write(lambda db: db.execute("INSERT INTO numbers VALUES (1)"))
    assert await database.read(_count) == 1


async def test_a_reader_waits_for_no_writer(path: Path, database: Database) -> None:
    """It sees the last commit, also while another process holds the write lock."""
    with closing(connect(path)) as other, transaction(other):
        other.execute("INSERT INTO numbers VALUES (1)")
        assert await database.read(_count) == 0
    assert await database.read(_count) == 1


async def test_a_writer_waits_for_another_process(path: Path, database: Database) -> None:
    """It gets its turn as soon as the other has committed."""
    with closing(connect(path)) as other:
        with transaction(other):
            writing = asyncio.create_task(database.write(lambda db: db.execute("INSERT INTO numbers VALUES (1)")))
            await asyncio.sleep(0.05)
            assert not writing.done()
        await writing
    assert await database.read(_count) == 1


async def test_a_process_that_never_lets_go_makes_the_store_unavailable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the longest wait."""
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.05)
    store = SqliteStore(path)
    await store.open()
    with closing(connect(path)) as other, transaction(other), pytest.raises(Unavailable, match="locked"):
        await store.ping()
    await store.ping()
    await store.close()


async def test_a_full_disk_makes_the_store_unavailable(database: Database) -> None:
    """The write has not happened; there is still reading, and writing again once there is room."""
    await database.write(lambda db: db.execute("PRAGMA max_page_count = 1"))
    with pytest.raises(Unavailable, match="full"):
        await database.write(lambda db: db.execute("INSERT INTO numbers VALUES (zeroblob(100000))"))
    assert await database.read(_count) == 0
    await database.write(lambda db: db.execute("PRAGMA max_page_count = 100000"))
    await database.write(lambda db: db.execute("INSERT INTO numbers VALUES (1)"))


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """With a remedy, and not as something that trying again would help."""
    file = tmp_path / "x.db"
    await asyncio.to_thread(file.write_bytes, b"not a database, but long enough to look at" * 100)
    with pytest.raises(StoreError, match="put a backup in its place") as caught:
        await Database(file).open()
    assert not isinstance(caught.value, Unavailable)


async def test_a_folder_that_can_not_be_made_is_unavailable(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "data").touch()
    with pytest.raises(Unavailable):
        await Database(tmp_path / "data" / "x.db").open()
