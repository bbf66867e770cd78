"""The one connection that writes, and group commit on it.

A sync of the disk takes as long as hundreds of statements. Works that wait at the same time are therefore done in one
transaction and share its sync, each in a savepoint of its own, so that one that fails takes nothing from the others
(group commit: DeWitt et al., "Implementation techniques for main memory database systems", SIGMOD 1984).
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Generic, TypeVar

from cloudserve.core.store.sqlite.connection import transaction

T = TypeVar("T")

TOGETHER: Final = 64
"""Works in one transaction at most, so that other processes get their turn."""


class Writer:
    """Does works in the order they come in, on a thread of its own."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._waiting: deque[_Work[Any]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-write")

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Returns what `function` made of the connection, once that is durable; if it raises, it has done nothing."""
        work = _Work(function)
        self._waiting.append(work)
        # One look for each work: what an earlier look has taken along leaves this one nothing to do.
        self._thread.submit(self._do_waiting)
        return await asyncio.wrap_future(work.outcome)

    def close(self) -> None:
        """Does what waits, and closes the connection."""
        self._thread.shutdown()
        self._db.close()

    def _do_waiting(self) -> None:
        works: list[_Work[Any]] = []
        while self._waiting and len(works) < TOGETHER:
            work = self._waiting.popleft()
            if work.outcome.set_running_or_notify_cancel():
                works.append(work)
        if not works:
            return
        try:
            with transaction(self._db):
                for work in works:
                    work.attempt(self._db)
        except BaseException as error:  # noqa: BLE001 - it is every caller's to see
            for work in works:
                work.outcome.set_exception(error)
        else:
            for work in works:
                work.settle()


class _Work(Generic[T]):
    """One work, and what has become of it; `outcome` is known when the transaction is."""

    def __init__(self, function: Callable[[sqlite3.Connection], T]) -> None:
        self.outcome: Future[T] = Future()
        self._function = function
        self._settle: Callable[[], None]

    def attempt(self, db: sqlite3.Connection) -> None:
        """Does the work, or nothing. Raises only what has ended the whole transaction."""
        db.execute("SAVEPOINT work")
        try:
            result = self._function(db)
        except Exception as failure:
            if not db.in_transaction:
                raise
            error = failure
            db.execute("ROLLBACK TO work")
            self._settle = lambda: self.outcome.set_exception(error)
        else:
            self._settle = lambda: self.outcome.set_result(result)
        db.execute("RELEASE work")

    def settle(self) -> None:
        """Lets the caller know."""
        self._settle()
