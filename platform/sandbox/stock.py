"""A small stock of blank workers, already walled off, that are specialised when a call needs one.

It is filled behind the request that took one, which is answered by then if it can be: starting a process takes more of
the processors than answering. A burst that empties it starts workers of its own, in parallel.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from cloudserve.sandbox.ends import WorkerLost
from cloudserve.sandbox.worker import Worker

PAUSE_SECONDS: Final = 0.03
"""Several times what a first call of a small function takes."""

_log = logging.getLogger(__name__)


class Stock:
    """Blank workers of one kind.

    Args:
        make: starts one.
        size: how many are kept.
        run: runs a coroutine beside everything else.
    """

    def __init__(
        self, make: Callable[[], Awaitable[Worker]], size: int, run: Callable[[Coroutine[Any, Any, None]], None]
    ) -> None:
        self._make = make
        self._size = size
        self._run = run
        self._ready: list[Worker] = []
        self._filling = False

    def take(self) -> Worker | None:
        """Returns a worker that has said hello, None when there is none, and has another one made ready."""
        worker = None
        while self._ready and worker is None:
            oldest = self._ready.pop()
            worker = None if oldest.stopping else oldest
        self.fill(PAUSE_SECONDS)
        return worker

    def fill(self, pause_seconds: float = 0) -> None:
        """Has as many workers made ready as there should be, after a pause; returns at once."""
        if not self._filling and len(self._ready) < self._size:
            self._filling = True
            self._run(self._fill(pause_seconds))

    def give_up(self) -> None:
        """Ends what is in stock; nothing is made any more."""
        self._size = 0
        ready, self._ready = self._ready, []
        for worker in ready:
            worker.stop()

    async def _fill(self, pause_seconds: float) -> None:
        try:
            await asyncio.sleep(pause_seconds)
            while len(self._ready) < self._size:
                worker = await self._make()
                await worker.calls.hello
                if self._size:
                    self._ready.append(worker)
                else:
                    worker.stop()
        except WorkerLost as lost:
            _log.warning("no blank process could be made ready: %s", lost)
        finally:
            self._filling = False
