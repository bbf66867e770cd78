"""A turn-based event loop that lives inside another one: it has a descriptor to wait for, and does a turn when told."""

import heapq
import itertools
import select
import time
from collections.abc import Callable
from typing import Final, Protocol

EVENTS_A_TURN: Final = 64

Handler = Callable[[int], None]


class HasFileno(Protocol):
    """What can be registered."""

    def fileno(self) -> int: ...


class Timer:
    """A callback at a moment, until it is cancelled."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class Reactor:
    """Calls each handler whose descriptor is ready once a turn, so that none can keep the others waiting.

    A handler must bear being called for nothing: within a turn a descriptor's number may have got a new owner.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()

    def fileno(self) -> int:
        """Readable when a turn has something to do."""
        return self._epoll.fileno()

    def register(self, what: HasFileno, events: int, handler: Handler) -> None:
        self._handlers[what.fileno()] = handler
        self._epoll.register(what.fileno(), events)

    def modify(self, what: HasFileno, events: int) -> None:
        self._epoll.modify(what.fileno(), events)

    def unregister(self, what: HasFileno) -> None:
        """To be called before `what` is closed."""
        del self._handlers[what.fileno()]
        self._epoll.unregister(what.fileno())

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(callback)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), timer))
        return timer

    def timeout(self) -> float | None:
        """Returns the seconds until a turn is due by the clock, None when there is no such moment."""
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def turn(self) -> None:
        """Does what is due and what is ready, without waiting."""
        while self.timeout() == 0:
            callback = heapq.heappop(self._timers)[2].callback
            if callback is not None:
                callback()
        for descriptor, events in self._epoll.poll(0, EVENTS_A_TURN):
            handler = self._handlers.get(descriptor)
            if handler is not None:
                handler(events)

    def close(self) -> None:
        self._epoll.close()
