"""Which host a call goes to: the one that has its function's workers, unless that is busier than the others.

- Rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM Transactions
  on Networking 6(1), 1998): every function has its own order of the hosts, by a hash of both names. A host that joins
  or leaves moves the functions that prefer it, and no others.
- Bounded load (Mirrokni, Thorup and Zadimoghaddam, "Consistent hashing with bounded loads", SODA 2018): a host with
  `BALANCE` times its share of all calls in flight is passed over for the next in the function's order. A host's share
  is by its capacity, and none is passed over while it has a processor for one more call.
- Hosts that serve one owner at a time (tier C): the owner's own first, for which those that nobody has count as its own
  too; then one of these; and only where there is neither does the call wait for its turn, at the host with the fewest
  calls.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from math import ceil
from typing import Final, Generic, Protocol, TypeVar

BALANCE: Final = 1.25
"""How much more than its share a host may get: the paper's 1 + epsilon."""

_KEPT_ORDERS: Final = 20_000


class Candidate(Protocol):
    """A host, as the choice sees it.

    `usable` tells whether a call could be sent there, `silent` whether nothing was heard of it for a moment, and `load`
    how many calls are in flight on it.
    """

    @property
    def name(self) -> str: ...
    @property
    def usable(self) -> bool: ...
    @property
    def silent(self) -> bool: ...
    @property
    def capacity(self) -> int: ...
    @property
    def load(self) -> int: ...
    @property
    def exclusive(self) -> bool: ...
    @property
    def free(self) -> bool: ...
    @property
    def holder(self) -> str | None: ...


Host = TypeVar("Host", bound=Candidate)


class Choice(Generic[Host]):
    """Chooses among `hosts`, which are those that are members, usable or not."""

    def __init__(self) -> None:
        self.hosts: Sequence[Host] = ()
        self._orders: dict[str, Sequence[Host]] = {}

    def replace(self, hosts: Iterable[Host]) -> None:
        """Says which hosts there are from now on."""
        self.hosts = tuple(hosts)
        self._orders.clear()

    def order(self, function_id: str) -> Sequence[Host]:
        """Returns all hosts, those first that a function prefers."""
        order = self._orders.get(function_id)
        if order is None:
            if len(self._orders) >= _KEPT_ORDERS:
                self._orders.clear()
            order = tuple(sorted(self.hosts, key=lambda host: weight(function_id, host.name), reverse=True))
            self._orders[function_id] = order
        return order

    def home(self, function_id: str, owner_id: str) -> Host | None:
        """Returns the host that a function's workers are kept on, however busy it is."""
        usable = _heard_of(self.order(function_id))
        at_once = [host for host in usable if not host.exclusive or host.free or host.holder == owner_id]
        return next(iter(at_once or usable), None)

    def choose(self, function_id: str, owner_id: str, besides: Host | None = None) -> Host | None:
        """Returns the host for a call, None when no host is usable. `besides` is one that did not take it."""
        order = self._orders.get(function_id) or self.order(function_id)
        if order:  # what is nearly always right, without a look at the others
            first = order[0]
            idle = first.load < first.capacity
            if idle and first.usable and not first.silent and not first.exclusive and first is not besides:
                return first
        usable = _heard_of([host for host in order if host is not besides])
        if not usable:
            return None
        open_: list[Host] = []
        own: list[Host] = []
        free: list[Host] = []
        others: list[Host] = []
        for host in usable:
            if not host.exclusive:
                open_.append(host)
            elif host.holder == owner_id:
                own.append(host)
            elif host.free:
                free.append(host)
            else:
                others.append(host)
        if open_:
            return _within_bound(open_, open_)
        return _within_bound(own, own + free) or next(iter(free), None) or min(others, key=_load, default=None)


def _heard_of(hosts: Sequence[Host]) -> Sequence[Host]:
    """Returns those that can be used, but silent ones only where all are: they may be busy and come back."""
    usable = [host for host in hosts if host.usable]
    return [host for host in usable if not host.silent] or usable


def _within_bound(hosts: Sequence[Host], beside: Sequence[Host]) -> Host | None:
    """Returns the first that may have one more call of all that are shared with those beside it.

    There is one where `beside` are the same hosts: all bounds together are above the load.
    """
    load = sum(host.load for host in hosts) + 1
    capacity = sum(host.capacity for host in beside)
    for host in hosts:
        if host.load < bound(load, host.capacity, capacity):
            return host
    return None


def weight(function_id: str, name: str) -> int:
    """Returns how much a function prefers a host, the same in every process."""
    return int.from_bytes(blake2b(f"{function_id}\0{name}".encode(), digest_size=8).digest(), "big")


def bound(load: int, capacity: int, of_all: int) -> int:
    """Returns the calls that a host of a capacity may have, where all of them together have `load`."""
    return max(capacity, ceil(BALANCE * load * capacity / of_all))


def _load(host: Candidate) -> int:
    return host.load
