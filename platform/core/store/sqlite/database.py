"""One SQLite file, its connections and the threads they run on.

A piece of work is a plain function of a connection and runs whole on one thread, so that a cancelled caller can't
leave a transaction half done, and a transaction costs one hop between threads however many statements it has.

- All writes of a process go through one connection, one after the other, each in a transaction of its own that takes
  the write lock first: it can't fail half-way for want of it. Other processes are waited for, up to `BUSY_SECONDS`.
- Reads have connections of their own. In WAL mode they see the last commit and neither wait for a write nor delay it.
- A commit is synced to the disk (`synchronous=FULL`): NORMAL would survive the end of the process too, but after a
  power cut the last commits could be missing. The frequent writes come in batches, so a sync for each is cheap.
"""

import asyncio
import fcntl
import os
import queue
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from cloudserve.core.store.abc import Gone, StoreError, Taken, Unavailable
from cloudserve.core.store.sqlite import schema

T = TypeVar("T")

BUSY_SECONDS: Final = 30
READERS: Final = 3
_UNIQUE: Final = "UNIQUE constraint failed: "


class Database:
    """The open file. `open` before use, `close` once after; both may be called again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: sqlite3.Connection | None = None
        self._readers: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._write_thread: ThreadPoolExecutor | None = None
        self._read_threads: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Opens the file, made and migrated if need be. Raises `StoreError` for one of a newer schema."""
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="store-write")
        self._read_threads = ThreadPoolExecutor(READERS, thread_name_prefix="store-read")
        try:
            await self._run(self._write_thread, self._connect)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finishes what is under way and closes the file."""
        for threads in (self._read_threads, self._write_thread):
            if threads is not None:
                await asyncio.to_thread(threads.shutdown)
        self._read_threads = self._write_thread = None
        while not self._readers.empty():
            self._readers.get().close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs one query and returns what `work` made of it."""
        if self._read_threads is None:
            raise Unavailable("the store is not open")
        return await self._run(self._read_threads, lambda: self._reading(work))

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` in a transaction: when this has returned it is durable, when it raises nothing has happened."""
        if self._write_thread is None:
            raise Unavailable("the store is not open")
        return await self._run(self._write_thread, lambda: self._writing(work))

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work)
        except sqlite3.IntegrityError as error:
            raise _refusal(error) from error
        except (sqlite3.OperationalError, OSError) as error:
            raise Unavailable(f"the database can't be used: {error}") from error

    def _connect(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._path.with_name(f"{self._path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # Turning WAL on does not wait for others as other statements do, hence a lock around it.
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            self._writer = self._connection()
            self._writer.execute("PRAGMA journal_mode = WAL")
            self._writer.execute("PRAGMA synchronous = FULL")
            schema.migrate(self._writer)
            for _ in range(READERS):
                self._readers.put(self._connection())
        finally:
            os.close(lock)

    def _connection(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA foreign_keys = ON")
        return db

    def _reading(self, work: Callable[[sqlite3.Connection], T]) -> T:
        db = self._readers.get()
        try:
            return work(db)
        finally:
            self._readers.put(db)

    def _writing(self, work: Callable[[sqlite3.Connection], T]) -> T:
        db = self._writer
        if db is None:
            raise Unavailable("the store is not open")
        db.execute("BEGIN IMMEDIATE")
        try:
            result = work(db)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return result


def _refusal(error: sqlite3.IntegrityError) -> StoreError:
    text = str(error)
    if text.startswith(_UNIQUE):
        return Taken(text.rpartition(".")[2].removesuffix("_folded"))
    if text == "FOREIGN KEY constraint failed":
        return Gone("what this belongs to does not exist")
    return StoreError(text)
