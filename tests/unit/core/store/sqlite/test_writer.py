"""Group commit: one sync for those who wait together, and each for itself all the same."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cloudserve.core.store.sqlite.connection import connect
from cloudserve.core.store.sqlite.writer import TOGETHER, Writer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with one table of different numbers."""
    path = tmp_path / "x.db"
    with closing(connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE numbers (n UNIQUE)")
    return path


@pytest.fixture
async def writer(path: Path) -> AsyncIterator[Writer]:
    """The writer of that database."""
    writer = Writer(connect(path))
    yield writer
    await asyncio.to_thread(writer.close)


def _insert(*numbers: int) -> Callable[[sqlite3.Connection], None]:
    def work(db: sqlite3.Connection) -> None:
        for number in numbers:
            db.execute("INSERT INTO numbers VALUES (?)", (number,))

    return work


def _numbers(path: Path) -> list[int]:
    with closing(connect(path)) as db:
        return [number for (number,) in db.execute("SELECT n FROM numbers ORDER BY n")]


async def _together(writer: Writer, *works: Callable[[sqlite3.Connection], Any]) -> list[Any]:
    """Lets works wait behind another one, so that they are done together; returns their results and errors."""
    holding = threading.Event()
    first = asyncio.create_task(writer.run(lambda _: holding.wait()))
    await asyncio.sleep(0)
    rest = asyncio.gather(*(writer.run(work) for work in works), return_exceptions=True)
    await asyncio.sleep(0)
    holding.set()
    await first
    return await rest


async def test_works_that_wait_together_share_a_transaction(path: Path, writer: Writer) -> None:
    """Up to a number of them; in the order they came, each with its own result."""
    commits: list[str] = []
    await writer.run(lambda db: db.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None))
    works = [lambda db, n=n: (_insert(n)(db), n)[1] for n in range(2 * TOGETHER)]
    before = len(commits)
    assert await _together(writer, *works) == list(range(2 * TOGETHER))
    assert len(commits) - before == 3
    assert _numbers(path) == list(range(2 * TOGETHER))


async def test_one_that_fails_takes_nothing_from_the_others(path: Path, writer: Writer) -> None:
    """And leaves nothing of itself, whether SQLite refuses it or its own code does."""

    def stumble(db: sqlite3.Connection) -> None:
        _insert(50)(db)
        raise RuntimeError("half-way")

    results = await _together(writer, _insert(1), _insert(2, 1), stumble, _insert(2, 3))
    assert [type(result) for result in results] == [type(None), sqlite3.IntegrityError, RuntimeError, type(None)]
    assert _numbers(path) == [1, 2, 3]


async def test_what_ends_the_transaction_is_everybody_s_failure(path: Path, writer: Writer) -> None:
    """None of those together has happened, and each is told; the next ones are served."""

    def end(db: sqlite3.Connection) -> None:
        db.execute("ROLLBACK")
        raise sqlite3.OperationalError("disk I/O error")

    results = await _together(writer, _insert(1), end, _insert(2))
    assert [type(result) for result in results] == [sqlite3.OperationalError] * 3
    assert _numbers(path) == []
    await writer.run(_insert(4))
    assert _numbers(path) == [4]


async def test_one_that_is_given_up_before_its_turn_is_not_done(path: Path, writer: Writer) -> None:
    """The others around it are."""
    holding = threading.Event()
    tasks = [asyncio.create_task(writer.run(work)) for work in (lambda _: holding.wait(), _insert(1), _insert(2))]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.sleep(0)
    holding.set()
    await tasks[2]
    assert _numbers(path) == [2]
