"""Threads that do not outlast those who wait for them."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from cloudserve.core.objects.threads import Caller, GivenUp, Threads


@pytest.fixture
async def threads() -> AsyncIterator[Threads]:
    """Two threads."""
    threads = Threads("two", 2)
    threads.start()
    yield threads
    await threads.stop()


async def test_work_returns_or_raises(threads: Threads) -> None:
    """Beside the event loop's own thread."""

    def fail(_: Caller) -> None:
        raise LookupError

    assert await threads.run(lambda _: threading.current_thread().name) != threading.current_thread().name
    with pytest.raises(LookupError):
        await threads.run(fail)


async def test_work_that_waits_is_dropped_with_its_caller(threads: Threads) -> None:
    """It never begins."""
    goes_on = threading.Event()
    begun: list[int] = []
    busy = [asyncio.create_task(threads.run(lambda _: goes_on.wait(30))) for _ in range(2)]
    await asyncio.sleep(0)
    waiting = asyncio.create_task(threads.run(lambda _: begun.append(1)))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    goes_on.set()
    await asyncio.gather(*busy)
    await threads.run(lambda _: None)
    assert begun == []


async def test_work_that_runs_learns_that_its_caller_has_gone(threads: Threads) -> None:
    """At its next check."""
    began, goes_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work(caller: Caller) -> None:
        began.set()
        goes_on.wait(30)
        try:
            caller.check()
        except GivenUp:
            ended.set()

    running = asyncio.create_task(threads.run(work))
    await asyncio.to_thread(began.wait, 30)
    running.cancel()
    await asyncio.wait([running])
    goes_on.set()
    assert await asyncio.to_thread(ended.wait, 30)


async def test_stopping_ends_what_runs() -> None:
    """And returns when it has; afterwards there is no work until the next start."""
    threads = Threads("one", 1)
    threads.start()
    began = threading.Event()

    def chunks() -> "list[bytes]":
        began.set()
        return [b""]

    def work(caller: Caller) -> None:
        while True:
            for _ in caller.watch(chunks()):
                pass

    running = asyncio.create_task(threads.run(work))
    await asyncio.to_thread(began.wait, 30)
    await threads.stop()
    with pytest.raises(GivenUp):
        await running
    with pytest.raises(RuntimeError):
        await threads.run(lambda _: None)
    threads.start()
    assert await threads.run(lambda _: 1) == 1
    await threads.stop()
