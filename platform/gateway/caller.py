"""Notices that a caller has gone, and then cancels the call.

Most calls end within a moment and nobody goes away in it, so watching begins only when a call has lasted for
`PATIENCE_SECONDS`: a warm call pays for a timer and no task.
"""

import asyncio
from typing import Final

from cloudserve.gateway.asgi import Receive

PATIENCE_SECONDS: Final = 0.05


class CallerWatch:
    """Watches, from `begin` to `end`, over the caller of the task that made it; `gone` tells that it cancelled that.

    Nothing else may receive meanwhile: begin when the whole body has been read.
    """

    __slots__ = ("_call", "_receive", "_timer", "_watching", "gone")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._call = asyncio.current_task()
        self._watching: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.gone = False

    def begin(self) -> None:
        """Starts to watch."""
        self._timer = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._look)

    def end(self) -> None:
        """Stops watching."""
        if self._timer is not None:
            self._timer.cancel()
        self._call = None
        if self._watching is not None:
            self._watching.cancel()

    def _look(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._call is not None:
            self.gone = True
            self._call.cancel()
