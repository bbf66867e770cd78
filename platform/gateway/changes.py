"""What changed, for the caches of this gateway: polls the store twice a second, and at once when asked to.

Guarantees
- Each change is handed to every listener within half a second of the commit, at least once, in order.
- `fresh` turns False when the store has not answered for `tolerance_seconds`: what is cached may be wrong by then.
  It turns True again with the first answer, and whatever went wrong, the next poll is a fresh try.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Final

from cloudserve.core.store.abc import Change, Store, StoreError

POLL_SECONDS: Final = 0.5
_ANSWER_SECONDS: Final = 10.0
_PAGE: Final = 1_000

_log = logging.getLogger(__name__)


class ChangeFeed:
    """Follows the store's changes from the moment of `start`. `away` tells that it did not answer the last time."""

    def __init__(
        self,
        store: Store,
        listeners: Sequence[Callable[[Change], None]],
        *,
        tolerance_seconds: float,
    ) -> None:
        self._store = store
        self._listeners = listeners
        self.tolerance_seconds = tolerance_seconds
        self._cursor = 0
        self._answered = 0.0
        self.away = False
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def fresh(self) -> bool:
        """Tells whether what is cached may still be served."""
        return self.staleness < self.tolerance_seconds

    @property
    def staleness(self) -> float:
        """Returns for how many seconds the store has not told what has changed."""
        return self._loop.time() - self._answered

    async def start(self) -> None:
        """Begins at the newest change. Raises `Unavailable`."""
        asked = self._loop.time()
        self._cursor = await self._store.last_change()
        self._answered = asked
        self._task = asyncio.create_task(self._follow(), name="gateway-changes")

    async def close(self) -> None:
        """Stops following."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def poke(self) -> None:
        """Asks for a poll at once: this process has just changed something."""
        self._asked.set()

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._asked.wait()
            self._asked.clear()
            try:
                await self._poll()
            except Exception as error:  # noqa: BLE001 - a feed that ends would leave this gateway stale for ever
                if not self.away:
                    fault = not isinstance(error, StoreError | TimeoutError)
                    message = "the store is away, so cached answers go on for %d s: %r"
                    _log.warning(message, self.tolerance_seconds, error, exc_info=fault)
                self.away = True
            else:
                if self.away:
                    _log.info("the store is back")
                self.away = False

    async def _poll(self) -> None:
        while True:
            asked = self._loop.time()
            async with asyncio.timeout(_ANSWER_SECONDS):
                changes = await self._store.changes(self._cursor)
            for change in changes:
                for listener in self._listeners:
                    listener(change)
                self._cursor = change.cursor
            if len(changes) < _PAGE:
                self._answered = asked
                return
