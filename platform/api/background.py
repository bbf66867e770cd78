"""Work that goes on after its request was answered, such as sending a mail."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

log = structlog.get_logger("cloudserve.api")


class Background:
    """Runs small tasks of their own; what goes wrong in one is logged. `close` waits for those under way."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Starts a task."""
        task = asyncio.create_task(self._run(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Returns when all that was started has ended."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def close(self, seconds: float = 10) -> None:
        """Waits for the tasks under way, and cancels those that take longer."""
        try:
            async with asyncio.timeout(seconds):
                await self.settle()
        except TimeoutError:
            for task in self._tasks:
                task.cancel()

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            log.exception("work in the background failed")
