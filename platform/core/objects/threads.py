"""Blocking work beside the event loop, on a bounded number of threads of its own.

A caller that gives up has its work dropped: at once while it still waits for a thread, and at the next `Caller.check`
when it has one. So the threads of a slow server are not kept by callers that have gone, and what waits is never more
than what callers wait for.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class GivenUp(Exception):  # noqa: N818 - reads as what happened
    """Nobody waits for this work any more."""


class Caller:
    """Who waits for a piece of work, as that work sees it."""

    def __init__(self, stopping: threading.Event) -> None:
        self._gone = threading.Event()
        self._stopping = stopping

    def leave(self) -> None:
        """Says that nobody waits any more."""
        self._gone.set()

    def check(self) -> None:
        """Raises `GivenUp` when nobody waits any more."""
        if self._gone.is_set() or self._stopping.is_set():
            raise GivenUp

    def watch(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yields the chunks for as long as somebody waits."""
        for chunk in chunks:
            self.check()
            yield chunk


class Threads:
    """At most `count` threads, whose names begin with `name`."""

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._count = count
        self._stopping = threading.Event()
        self._executor: ThreadPoolExecutor | None = None

    @property
    def started(self) -> bool:
        """Tells whether there may be work."""
        return self._executor is not None

    def start(self) -> None:
        """Makes ready, unless it is; threads are made when there is work."""
        if self._executor is None:
            self._stopping = threading.Event()
            self._executor = ThreadPoolExecutor(self._count, thread_name_prefix=self._name)

    async def stop(self) -> None:
        """Gives up what waits and, at its next check, what runs; returns when nothing does."""
        executor, self._executor = self._executor, None
        if executor is not None:
            self._stopping.set()
            await asyncio.to_thread(executor.shutdown)

    async def run(self, work: Callable[[Caller], T]) -> T:
        """Returns what `work` returns. Raises RuntimeError when not started, and `GivenUp` when stopped meanwhile."""
        if self._executor is None:
            raise RuntimeError("not open")
        caller = Caller(self._stopping)

        def checked() -> T:
            caller.check()
            return work(caller)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, checked)
        except asyncio.CancelledError:
            caller.leave()
            raise
