"""Stands between a worker and the host's resolvers: a worker resolves by TCP, to here, and reaches no resolver itself.

The supervisor connects the worker's socket to the relay and announces it by its port; a connection that nobody has
announced is closed. In mode `list` only names on the list are answered, and their addresses may then be connected to.
"""

import select
import socket
import struct
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from cloudserve.core.confine.egress import dns
from cloudserve.core.confine.egress.lookups import Lookup
from cloudserve.core.confine.egress.reactor import Reactor, Timer
from cloudserve.core.confine.egress.resolvers import Resolvers
from cloudserve.core.confine.egress.supervised import Worker

MAX_CLIENTS: Final = 128
"""Connections of one worker; the oldest is closed for another one."""

MAX_LOOKUPS: Final = 16
"""Queries of one worker that are under way; the others wait."""

IDLE_SECONDS: Final = 30.0
_MAX_ANNOUNCED: Final = 1024
_BACKLOG: Final = 128
_PART: Final = 4096

OnRefusedName = Callable[[Worker, str], None]


class Relay:
    """Answers the queries of all workers."""

    def __init__(self, reactor: Reactor, resolvers: Resolvers, on_refused: OnRefusedName) -> None:
        self._reactor = reactor
        self._resolvers = resolvers
        self._on_refused = on_refused
        self._announced: OrderedDict[int, Worker] = OrderedDict()
        self._clients: dict[Worker, list[_Client]] = {}
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self._listener.setblocking(False)
        self._port: int = self._listener.getsockname()[1]
        reactor.register(self._listener, select.EPOLLIN, self._accept)

    def address(self, family: int) -> bytes:
        """Returns where a worker's socket of this family is to be connected to, as `struct sockaddr`."""
        if family == socket.AF_INET:
            return struct.pack("=H", family) + struct.pack(">H4s8x", self._port, bytes((127, 0, 0, 1)))
        mapped = bytes(10) + b"\xff\xff" + bytes((127, 0, 0, 1))
        return struct.pack("=H", family) + struct.pack(">HI16sI", self._port, 0, mapped, 0)

    def announce(self, worker: Worker, port: int) -> None:
        """Tells whose the connection is that comes from a port."""
        self._announced[port] = worker
        if len(self._announced) > _MAX_ANNOUNCED:
            self._announced.popitem(last=False)

    def forget(self, worker: Worker) -> None:
        """Closes all connections of a worker."""
        for client in self._clients.pop(worker, []):
            client.close()
        for port in [port for port, owner in self._announced.items() if owner is worker]:
            del self._announced[port]

    def close(self) -> None:
        for worker in list(self._clients):
            self.forget(worker)
        self._reactor.unregister(self._listener)
        self._listener.close()

    def _accept(self, _events: int) -> None:
        try:
            sock, (_, port) = self._listener.accept()
        except OSError:
            return
        worker = self._announced.pop(port, None)
        if worker is None:
            sock.close()
            return
        clients = self._clients.setdefault(worker, [])
        if len(clients) == MAX_CLIENTS:
            clients[0].end()
        clients.append(
            _Client(
                worker,
                sock,
                reactor=self._reactor,
                resolvers=self._resolvers,
                on_refused=self._on_refused,
                on_end=self._ended,
            )
        )

    def _ended(self, client: "_Client") -> None:
        clients = self._clients.get(client.worker, [])
        clients.remove(client)
        if not clients:
            self._clients.pop(client.worker, None)


class _Client:
    """A worker's connection, on which several queries may be under way."""

    def __init__(
        self,
        worker: Worker,
        sock: socket.socket,
        *,
        reactor: Reactor,
        resolvers: Resolvers,
        on_refused: OnRefusedName,
        on_end: Callable[["_Client"], None],
    ) -> None:
        self.worker = worker
        self._reactor = reactor
        self._resolvers = resolvers
        self._socket = sock
        self._on_refused = on_refused
        self._on_end = on_end
        self._received = bytearray()
        self._lookups: set[Lookup] = set()
        self._rest: Timer | None = None
        self._used = time.monotonic()
        sock.setblocking(False)
        reactor.register(sock, select.EPOLLIN, self._readable)
        self._idle = reactor.after(IDLE_SECONDS, self._end_if_idle)

    def end(self) -> None:
        """Closes the connection and says so."""
        if not self._is_over():
            self.close()
            self._on_end(self)

    def close(self) -> None:
        self._idle.cancel()
        self.worker.waiting.pop(self._serve, None)
        if self._rest is not None:
            self._rest.cancel()
        for lookup in self._lookups:
            lookup.cancel()
            self._room_again()
        self._lookups.clear()
        self._reactor.unregister(self._socket)
        self._socket.close()

    def _is_over(self) -> bool:
        return self._socket.fileno() == -1

    def _end_if_idle(self) -> None:
        left = self._used + IDLE_SECONDS - time.monotonic()
        if left > 0 or self._lookups:
            self._idle = self._reactor.after(max(left, 1), self._end_if_idle)
        else:
            self.end()

    def _readable(self, _events: int) -> None:
        try:
            part = self._socket.recv(_PART)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        if not part:
            self.end()
            return
        self._received += part
        self._serve()

    def _serve(self) -> None:
        """Takes up what has come, as long as the worker has not used up its share of the supervisor's time."""
        if self._is_over():
            return
        self._rest = None
        worker = self.worker
        began = self._used = time.monotonic()
        query: bytes | None = b""
        while query is not None and not self._is_over() and worker.lookups < MAX_LOOKUPS:
            query = dns.take_framed(self._received)
            if query is not None:
                self._look_up(query)
        pause = worker.time.spend(time.monotonic() - began)
        if self._is_over():
            return
        if pause:
            self._rest = self._reactor.after(pause, self._serve)
        elif query is not None:
            worker.waiting[self._serve] = None
        self._reactor.modify(self._socket, select.EPOLLIN if query is None and not pause else 0)
        self._let_next_go_on()

    def _let_next_go_on(self) -> None:
        """Calls up whoever waits the longest, if there is room for a look-up."""
        waiting = self.worker.waiting
        if waiting and self.worker.lookups < MAX_LOOKUPS:
            callback = next(iter(waiting))
            del waiting[callback]
            self._reactor.after(0, callback)

    def _room_again(self) -> None:
        self.worker.lookups -= 1
        self._let_next_go_on()

    def _look_up(self, query: bytes) -> None:
        try:
            question = dns.read_query(query)
        except ValueError:
            self.end()
            return
        if not self.worker.rules.answers(question.name):
            self._send(dns.failure(query, question, dns.NO_SUCH_NAME))
            if not self._resolvers.may_have_added(question.name):
                self._on_refused(self.worker, question.name)
            return
        lookup = Lookup(
            self._reactor,
            self._resolvers.nameservers,
            query,
            question,
            lambda answer: self._answered(lookup, query, question, answer),
        )
        self._lookups.add(lookup)
        self.worker.lookups += 1

    def _answered(self, lookup: Lookup, query: bytes, question: dns.Question, answer: bytes | None) -> None:
        self._lookups.discard(lookup)
        self._room_again()
        if answer is None:
            self._send(dns.failure(query, question, dns.SERVER_FAILURE))
        else:
            for port in self.worker.rules.ports(question.name):
                for address, ttl in dns.addresses(answer):
                    self.worker.answered.add(address, port, ttl)
            self._send(answer)

    def _send(self, message: bytes) -> None:
        """Sends an answer whole, or ends the connection: a worker that does not read has no more answers."""
        data = dns.framed(message)
        try:
            if self._socket.send(data) == len(data):
                return
        except OSError:
            pass
        self.end()
