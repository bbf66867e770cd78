"""A connection to the file, a transaction on it, and what SQLite's errors mean to the services."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cloudserve.core.store.abc import Gone, StoreError, Taken, Unavailable

BUSY_SECONDS: Final = 30
_UNIQUE: Final = "UNIQUE constraint failed: "
_FOREIGN_KEY: Final = "FOREIGN KEY constraint failed"
_UNAVAILABLE: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
}
_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def connect(path: Path) -> sqlite3.Connection:
    """Opens a connection that begins no transaction of its own and waits `BUSY_SECONDS` for other processes."""
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA foreign_keys = ON")
    return db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Takes the write lock at once, so that nothing in between can fail for want of it; all or nothing is written."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk, for one, has ended it already
            db.execute("ROLLBACK")
        raise


@contextmanager
def translated() -> Iterator[None]:
    """Turns SQLite's errors into those of the contract; what is a mistake of ours stays as it is."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        text = str(error)
        if text.startswith(_UNIQUE):
            raise Taken(text.rpartition(".")[2].removesuffix("_folded")) from error
        if text == _FOREIGN_KEY:
            raise Gone("what this belongs to does not exist, or not any more") from error
        raise
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest of the bits tell more than is needed here
        if code in _UNAVAILABLE:
            raise Unavailable(f"the database can't be used just now: {error}") from error
        if code in _DAMAGED:
            raise StoreError(f"the database is damaged ({error}): put a backup in its place") from error
        raise
    except OSError as error:
        raise Unavailable(f"the database can't be used just now: {error.strerror}") from error
