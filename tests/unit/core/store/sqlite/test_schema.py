"""Migrations run in order, once, all or nothing, and never on a file from the future."""

import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from cloudserve.core.store.abc import StoreError
from cloudserve.core.store.schema import Migration
from cloudserve.core.store.sqlite import SqliteStore, schema
from cloudserve.core.store.sqlite.connection import connect
from cloudserve.core.store.sqlite.schema import MIGRATIONS, migrate

FIRST = Migration("CREATE TABLE a (x);\nINSERT INTO a VALUES (1);\n", needs=1)
SECOND = Migration("ALTER TABLE a ADD COLUMN y;\nUPDATE a SET y = x + 1;\n")
THIRD = Migration("CREATE TABLE b (x);\nINSERT INTO nowhere VALUES (1);\n")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be made."""
    return tmp_path / "x.db"


@pytest.fixture
def db(path: Path) -> Iterator[sqlite3.Connection]:
    """An empty database."""
    with closing(connect(path)) as db:
        yield db


def test_migrations_run_in_order_and_once(db: sqlite3.Connection) -> None:
    """A file that has had some of them gets the others."""
    migrate(db, (FIRST,))
    migrate(db, (FIRST, SECOND))
    migrate(db, (FIRST, SECOND))
    assert [tuple(row) for row in db.execute("SELECT x, y FROM a")] == [(1, 2)]


def test_a_file_of_the_first_release_goes_on(db: sqlite3.Connection) -> None:
    """It counted its one migration in `user_version` alone."""
    db.execute("CREATE TABLE a (x)")
    db.execute("INSERT INTO a VALUES (1)")
    db.execute("PRAGMA user_version = 1")
    migrate(db, (FIRST, SECOND))
    assert [tuple(row) for row in db.execute("SELECT x, y FROM a")] == [(1, 2)]
    assert db.execute("PRAGMA user_version").fetchone()[0] == 1


def test_a_migration_that_fails_leaves_the_file_as_it_was(db: sqlite3.Connection) -> None:
    """Also those before it in the same run; the next run may succeed."""
    migrate(db, (FIRST,))
    with pytest.raises(sqlite3.OperationalError):
        migrate(db, (FIRST, SECOND, THIRD))
    assert [tuple(row) for row in db.execute("SELECT * FROM a")] == [(1,)]
    migrate(db, (FIRST, SECOND))


def test_migrations_at_once_run_once(path: Path, db: sqlite3.Connection) -> None:
    """Processes wait for each other, and the later ones find the work done."""

    def run() -> None:
        with closing(connect(path)) as other:
            migrate(other, (FIRST, SECOND))

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(run) for _ in range(8)]:
            done.result()
    assert [tuple(row) for row in db.execute("SELECT x, y FROM a")] == [(1, 2)]


async def test_a_file_from_the_future_is_refused(path: Path) -> None:
    """By a message that says what to do; the file is left alone."""
    with closing(connect(path)) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    for _ in range(2):
        with pytest.raises(StoreError, match=f"has schema {len(MIGRATIONS) + 1}, .* run the CloudServe that wrote it"):
            await SqliteStore(path).open()


def test_the_sql_is_plain_enough_for_old_versions_of_sqlite() -> None:
    """RHEL 9 has 3.34; RETURNING came with 3.35, STRICT with 3.37."""
    package = Path(schema.__file__).parent
    code = "\n".join(file.read_text().replace(schema.__doc__ or "", "") for file in package.glob("*.py"))
    assert re.findall(r"\bRETURNING\b|\bSTRICT\b|->>", code) == []
