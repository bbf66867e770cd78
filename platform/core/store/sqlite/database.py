"""One SQLite file, its connections and the threads they run on.

A piece of work is a plain function of a connection and runs whole on one thread, so that a cancelled caller can't
leave a transaction half done, and a transaction costs one hop between threads however many statements it has.

- All writes of a process go through one connection, one after the other, each all or nothing (`writer`). Other
  processes are waited for, up to `BUSY_SECONDS`.
- Reads have connections of their own. In WAL mode they see the last commit and neither wait for a write nor delay it.
- A commit is synced to the disk (`synchronous=FULL`): NORMAL would survive the end of the process too, but after a
  power cut the last commits could be missing. Writes at the same time share a sync.
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

from cloudserve.core.store.abc import Unavailable
from cloudserve.core.store.sqlite import schema
from cloudserve.core.store.sqlite.connection import connect, translated
from cloudserve.core.store.sqlite.writer import Writer

T = TypeVar("T")

READERS: Final = 3
LOG_BYTES: Final = 64 * 1024 * 1024  # what the log keeps of the disk after a large transaction


class Database:
    """The open file. `open` before use, `close` once after; both may be called again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Writer | None = None
        self._readers: _Readers | None = None

    async def open(self) -> None:
        """Opens the file, made and migrated if need be. Raises `StoreError` for a newer schema or a damaged file."""
        with translated():
            writer, *readers = await asyncio.to_thread(self._connect)
        self._writer = Writer(writer)
        self._readers = _Readers(readers)

    async def close(self) -> None:
        """Finishes what is under way and closes the file."""
        readers, writer = self._readers, self._writer
        self._readers = self._writer = None
        for part in (readers, writer):
            if part is not None:
                await asyncio.to_thread(part.close)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs one query and returns what `work` made of it."""
        if self._readers is None:
            raise Unavailable("the store is not open")
        with translated():
            return await self._readers.run(work)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work`: when this has returned it is durable, when it raises nothing of it has happened."""
        if self._writer is None:
            raise Unavailable("the store is not open")
        with translated():
            return await self._writer.run(work)

    def _connect(self) -> list[sqlite3.Connection]:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        connections: list[sqlite3.Connection] = []
        # Turning WAL on does not wait for other processes as other statements do, hence a lock around it.
        lock = os.open(self._path.with_name(f"{self._path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            connections.append(writer := connect(self._path))
            writer.execute("PRAGMA journal_mode = WAL")
            writer.execute("PRAGMA synchronous = FULL")
            writer.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
            schema.migrate(writer, schema.MIGRATIONS)
            connections += [connect(self._path) for _ in range(READERS)]
        except BaseException:
            for db in connections:
                db.close()
            raise
        finally:
            os.close(lock)
        return connections


class _Readers:
    """Connections that read, and as many threads to work on them."""

    def __init__(self, connections: list[sqlite3.Connection]) -> None:
        self._idle: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        for db in connections:
            self._idle.put(db)
        self._threads = ThreadPoolExecutor(len(connections), thread_name_prefix="store-read")

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._on_idle, work)

    def _on_idle(self, work: Callable[[sqlite3.Connection], T]) -> T:
        db = self._idle.get()
        try:
            return work(db)
        finally:
            self._idle.put(db)

    def close(self) -> None:
        self._threads.shutdown()
        while not self._idle.empty():
            self._idle.get().close()
