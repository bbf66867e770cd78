"""What the supervisor knows of one worker: its rules, its share of the supervisor's time, what is kept for it."""

import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cloudserve.core.confine.egress.addresses import Address, canonical
from cloudserve.core.confine.egress.notifications import Listener, Notification
from cloudserve.core.confine.egress.policy import NO_EGRESS, Rules

SHARE: Final = 0.1
"""How much of a second's worth of the supervisor's time a worker may use each second."""

BURST_SECONDS: Final = 0.25
REFUSALS_BURST: Final = 20
REFUSALS_PER_SECOND: Final = 2.0
MAX_KEPT: Final = 64
MAX_ANSWERED: Final = 1024
LEAST_TTL: Final = 60
"""Seconds: a program may connect a while after it resolved a name."""
MOST_TTL: Final = 3600


class Budget:
    """A token bucket: `rate` a second, `burst` at most. `clock` is in seconds."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._left = burst
        self._at = clock()

    def spend(self, amount: float) -> float:
        """Takes an amount, and returns the seconds until there is something left again, 0 when there is."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate) - amount
        self._at = now
        return max(0.0, -self._left / self._rate)

    def try_spend(self, amount: float) -> bool:
        """Takes an amount if it is there."""
        self.spend(0)
        if self._left < amount:
            return False
        self._left -= amount
        return True


class Answered:
    """The addresses that names on a worker's list resolved to, for as long as they may be connected to."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: OrderedDict[tuple[Address, int | None], float] = OrderedDict()

    def add(self, address: Address, port: int | None, ttl: int) -> None:
        """Allows an address and port, None for all, for its time to live in seconds, within bounds."""
        key = (canonical(address), port)
        until = self._clock() + min(max(ttl, LEAST_TTL), MOST_TTL)
        self._until[key] = max(until, self._until.pop(key, 0))
        if len(self._until) > MAX_ANSWERED:
            self._until.popitem(last=False)

    def has(self, address: Address, port: int) -> bool:
        """Tells whether an address was answered a moment ago."""
        plain = canonical(address)
        now = self._clock()
        return any(self._until.get((plain, which), 0) > now for which in (port, None))


@dataclass(slots=True, eq=False)
class Connecting:
    """A connection that a thread of a worker waits for."""

    notification: Notification
    sock: socket.socket
    raw: bytes


@dataclass(slots=True, eq=False)
class Worker:
    """A worker behind its listener."""

    id: int
    listener: Listener
    rules: Rules = NO_EGRESS
    answered: Answered = field(default_factory=Answered)
    time: Budget = field(default_factory=lambda: Budget(SHARE, BURST_SECONDS))
    refusals: Budget = field(default_factory=lambda: Budget(REFUSALS_PER_SECOND, REFUSALS_BURST))
    connecting: dict[int, Connecting] = field(default_factory=dict)
    lookups: int = 0
    waiting: dict[Callable[[], None], None] = field(default_factory=dict)
    """Who is to go on when one of the look-ups under way has ended, the first to wait first."""
    kept: "OrderedDict[tuple[int, int], socket.socket]" = field(default_factory=OrderedDict)

    def keep(self, identity: tuple[int, int], sock: socket.socket) -> None:
        """Keeps a duplicate of a socket that has not been connected yet; the oldest goes when there are too many."""
        self.kept[identity] = sock
        if len(self.kept) > MAX_KEPT:
            self.kept.popitem(last=False)[1].close()

    def close(self) -> None:
        """Gives everything back; threads that still wait get ENOSYS."""
        for one in self.connecting.values():
            one.sock.close()
        for sock in self.kept.values():
            sock.close()
        self.connecting.clear()
        self.kept.clear()
        self.listener.close()
