"""Notices that a caller has gone, and then cancels the call.

Most calls end within a moment and nobody goes away in it, so watching begins only when a call has lasted for one to two
times `PATIENCE_SECONDS`. One timer serves all calls: a warm call pays for an entry in a set.
"""

import asyncio
from typing import Final

from cloudserve.gateway.asgi import Receive

PATIENCE_SECONDS: Final = 0.05


class CallerWatch:
    """Watches, from `begin` to `end`, over the caller of the task that made it; `gone` tells that it cancelled that.

    Nothing else may receive meanwhile: begin when the whole body has been read.
    """

    __slots__ = ("_call", "_callers", "_receive", "_watching", "gone")

    def __init__(self, callers: "Callers", receive: Receive) -> None:
        self._callers = callers
        self._receive = receive
        self._call = asyncio.current_task()
        self._watching: asyncio.Task[None] | None = None
        self.gone = False

    def begin(self) -> None:
        """Starts to watch, soon."""
        if self._call is not None:
            self._callers.add(self)

    def look(self) -> None:
        """Starts to watch."""
        self._watching = asyncio.create_task(self._watch())

    def end(self) -> None:
        """Stops watching."""
        self._call = None
        self._callers.discard(self)
        if self._watching is not None:
            self._watching.cancel()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._call is not None:
            self.gone = True
            self._call.cancel()


class Callers:
    """The callers whose calls are under way, in two generations: those who have waited for a whole tick are watched."""

    def __init__(self) -> None:
        self._young: set[CallerWatch] = set()
        self._old: set[CallerWatch] = set()
        self._ticking = False

    def watch(self, receive: Receive) -> CallerWatch:
        """Returns the watch over the current task's caller."""
        return CallerWatch(self, receive)

    def add(self, watch: CallerWatch) -> None:
        """Has a caller watched when the call lasts."""
        self._young.add(watch)
        if not self._ticking:
            self._ticking = True
            asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._tick)

    def discard(self, watch: CallerWatch) -> None:
        """Forgets a caller."""
        self._young.discard(watch)
        self._old.discard(watch)

    def _tick(self) -> None:
        for watch in self._old:
            watch.look()
        self._old, self._young = self._young, set()
        self._ticking = bool(self._old)
        if self._ticking:
            asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._tick)
