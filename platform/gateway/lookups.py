"""Look-ups behind a cache: one for all who ask for the same thing, for so long, and so many.

A store that answers slowly, or not at all, costs the calls that need it a wait with an end, and the others nothing.

Guarantees
- Callers who ask for the same thing share one look-up; one who goes away ends it for nobody else.
- A look-up ends after `PATIENCE_SECONDS` at the latest.
- At most `MOST` callers wait, and at most `MOST` look-ups are under way; whoever comes then is refused at once, and so
  is whoever comes while the store is known to be away.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from cloudserve.core.store.abc import Unavailable
from cloudserve.gateway.errors import unavailable

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

PATIENCE_SECONDS: Final = 10.0
MOST: Final = 1_000


class Lookups(Generic[K, V]):
    """The look-ups of one cache: `look_up` asks for a key, and `asked` says in a message whom.

    `away` tells whether the store is known to be away, so that nobody has to wait to learn it.
    """

    def __init__(self, look_up: Callable[[K], Awaitable[V]], *, asked: str, away: Callable[[], bool]) -> None:
        self._look_up = look_up
        self._asked = asked
        self._away = away
        self._under_way: dict[K, asyncio.Task[V]] = {}
        self._waiting = 0

    async def find(self, key: K) -> V:
        """Returns what is looked up. Raises what `look_up` raises, and `Problem` (503) when it takes too long.

        Raises `Unavailable` while the store is away.
        """
        if self._away():
            raise Unavailable("the store is away")
        if max(self._waiting, len(self._under_way)) >= MOST:
            raise unavailable(f"Too many calls wait for {self._asked} already. Try again soon.")
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._bounded(key))
            task.add_done_callback(lambda done: self._ended(key, done))
        self._waiting += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Ends what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _bounded(self, key: K) -> V:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS) as patience:
                return await self._look_up(key)
        except TimeoutError as error:
            if not patience.expired():
                raise
            message = f"There was no answer from {self._asked} within {PATIENCE_SECONDS:g} s. Try again soon."
            raise unavailable(message) from error

    def _ended(self, key: K, task: asyncio.Task[V]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # seen, also when every caller has gone
