"""Makes sockets and connections for workers that may make none themselves: seccomp_unotify(2), from outside the walls.

A worker's `connect` waits here. Its address is copied once, judged, and used: what the worker writes over it meanwhile
changes nothing. An allowed connection is made on the worker's own socket, of which the supervisor takes a duplicate;
a refused one fails with EACCES. Where a worker sits in an empty network namespace, its `socket` waits here, too, and
gets one of the supervisor's namespace. Where the kernel lets nobody take descriptors, the supervisor makes all sockets
and keeps a duplicate of each until it is connected (`keeps_sockets`).

Nothing here waits for anybody. Each turn serves one call of each worker, and a worker that has used up its share of the
supervisor's time is left waiting for a while. When the supervisor ends, every call it would have answered fails.
"""

import errno
import os
import select
import socket
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from cloudserve.core.confine.egress.connecting import (
    MAX_SOCKADDR,
    Impatience,
    SocketAddress,
    adopt,
    connect,
    waits,
)
from cloudserve.core.confine.egress.notifications import Listener, Notification
from cloudserve.core.confine.egress.policy import Refusal, Rules, Target, decide
from cloudserve.core.confine.egress.reactor import Reactor
from cloudserve.core.confine.egress.relay import Relay
from cloudserve.core.confine.egress.resolvers import DNS_PORT, Resolvers
from cloudserve.core.confine.egress.routes import Routes
from cloudserve.core.confine.egress.supervised import Connecting, Worker
from cloudserve.core.confine.egress.threads import inode_of, read_memory, take_descriptor
from cloudserve.core.confine.numbers import by_argument, machine

_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)
_TYPE: Final = 0xF
_WORD: Final = 0xFFFFFFFF


class Supervisor:
    """Lives in the loop of its process, which must be single-threaded: `fileno` and `timeout` say when `turn` is due.

    `permitted` is what the operator permits beside public addresses; `on_refused` is called, at a bounded rate for each
    worker, before the call fails.
    """

    def __init__(
        self,
        *,
        on_refused: Callable[[Refusal], None],
        permitted: Iterable[Target] = (),
        resolvers: Resolvers | None = None,
        keeps_sockets: bool = False,
    ) -> None:
        self._on_refused = on_refused
        self._permitted = tuple(permitted)
        self._resolvers = resolvers or Resolvers.of_host()
        self._keeps_sockets = keeps_sockets
        self._workers: dict[int, Worker] = {}
        self._reactor = Reactor()
        self._relay = Relay(self._reactor, self._resolvers, self._refused_name)
        self._routes = Routes()
        self._impatience = Impatience()
        numbers = by_argument(machine())
        self._calls = {numbers["socket"]: self._make_socket, numbers["connect"]: self._connect}

    def fileno(self) -> int:
        return self._reactor.fileno()

    def timeout(self) -> float | None:
        """Returns the seconds until `turn` is due by the clock, None when there is no such moment."""
        return self._reactor.timeout()

    def turn(self) -> None:
        """Serves whoever waits, each worker once."""
        self._reactor.turn()

    def add(self, worker_id: int, listener: int) -> None:
        """Takes a worker's listener over. Until `allow` it reaches nothing; all goes with its last process."""
        worker = self._workers[worker_id] = Worker(worker_id, Listener(listener))
        self._reactor.register(worker.listener, select.EPOLLIN, partial(self._serve, worker))

    def allow(self, worker_id: int, rules: Rules) -> None:
        """Sets what a worker may reach from now on; one that has ended needs nothing."""
        worker = self._workers.get(worker_id)
        if worker is not None:
            worker.rules = rules

    def close(self) -> None:
        """Forgets every worker; their calls fail from now on."""
        for worker in list(self._workers.values()):
            self._forget(worker)
        self._relay.close()
        self._routes.close()
        self._reactor.close()

    def _serve(self, worker: Worker, events: int) -> None:
        if not events & select.EPOLLIN:
            self._forget(worker)
            return
        began = time.monotonic()
        notification = worker.listener.receive()
        if notification is not None:
            self._answer(worker, notification)
        pause = worker.time.spend(time.monotonic() - began)
        if pause:
            self._reactor.modify(worker.listener, 0)
            self._reactor.after(pause, partial(self._resume, worker))

    def _resume(self, worker: Worker) -> None:
        if self._workers.get(worker.id) is worker:
            self._reactor.modify(worker.listener, select.EPOLLIN)

    def _forget(self, worker: Worker) -> None:
        """Gives back what was held for a worker, its connections under way among it."""
        del self._workers[worker.id]
        self._reactor.unregister(worker.listener)
        for connecting in worker.connecting.values():
            self._reactor.unregister(connecting.sock)
        self._relay.forget(worker)
        with self._impatience:
            worker.close()

    def _answer(self, worker: Worker, notification: Notification) -> None:
        """Answers a call, in a moment or, where its thread waits for a connection, later."""
        try:
            error = self._calls[notification.call](worker, notification)
        except OSError as failed:
            error = errno.EACCES if failed.errno in (None, errno.EPERM) else failed.errno
        except Exception:  # noqa: BLE001 - whatever a worker has thought of costs its own call and nobody else's
            error = errno.EACCES
        if error is not None:
            worker.listener.answer(notification, error)

    def _make_socket(self, worker: Worker, notification: Notification) -> int | None:
        family, kind, protocol = (argument & _WORD for argument in notification.arguments[:3])
        sock = socket.socket(family, kind & _TYPE, protocol)
        sock.setblocking(not kind & socket.SOCK_NONBLOCK)
        close_on_exec = bool(kind & socket.SOCK_CLOEXEC)
        if not self._keeps_sockets:
            with sock:
                worker.listener.answer_with(notification, sock, close_on_exec=close_on_exec)
            return None
        found = os.fstat(sock.fileno())
        worker.keep((found.st_dev, found.st_ino), sock)
        worker.listener.answer_with(notification, sock, close_on_exec=close_on_exec)
        return None

    def _connect(self, worker: Worker, notification: Notification) -> int | None:
        descriptor, address, length = notification.arguments[:3]
        if length & _WORD > MAX_SOCKADDR:
            return errno.EINVAL
        target = SocketAddress.read(read_memory(notification.thread, address, length & _WORD))
        if not worker.listener.is_valid(notification):
            return None
        if target.address is not None and not self._may_connect(worker, target):
            return errno.EACCES
        with self._impatience:
            sock = self._take(worker, notification, descriptor & _WORD)
            return None if sock is None else self._start(worker, notification, sock, target)

    def _may_connect(self, worker: Worker, target: SocketAddress) -> bool:
        """Judges an IP address, and reports a refusal."""
        if target.address is None:
            return False
        if worker.rules.mode != "none" and self._resolvers.are_at(target.address, target.port):
            return True
        decision = decide(
            worker.rules,
            self._permitted,
            target.address,
            target.port,
            is_own=self._routes.is_own(target.address),
            is_answered=worker.answered.has(target.address, target.port),
        )
        if not decision.allowed:
            self._report(worker, str(target.address), target.port, decision.rule, decision.remedy)
        return decision.allowed

    def _take(self, worker: Worker, notification: Notification, descriptor: int) -> socket.socket | None:
        """Returns a duplicate of a worker's socket; None when the call is no longer waited for. Raises OSError."""
        if self._keeps_sockets:
            kept = worker.kept.get(inode_of(notification.thread, descriptor))
            sock = None if kept is None else kept.dup()
            if sock is None:
                raise OSError(errno.EISCONN, os.strerror(errno.EISCONN))
        else:
            sock = adopt(take_descriptor(notification.thread, descriptor))
        if worker.listener.is_valid(notification):
            return sock
        sock.close()
        return None

    def _start(
        self, worker: Worker, notification: Notification, sock: socket.socket, target: SocketAddress
    ) -> int | None:
        """Connects, and leaves a thread whose socket waits waiting until the connection stands."""
        if sock.family not in _INTERNET:
            sock.close()
            return errno.EACCES
        to_resolver = target.address is not None and self._resolvers.are_at(target.address, target.port)
        raw = self._relay.address(sock.family) if to_resolver else target.raw
        error = connect(sock, raw)
        if to_resolver and error in (0, errno.EINPROGRESS):
            self._relay.announce(worker, sock.getsockname()[1])
        if error in (errno.EINPROGRESS, errno.EALREADY) and waits(sock):
            worker.connecting[sock.fileno()] = Connecting(notification, sock, raw)
            self._reactor.register(sock, select.EPOLLOUT, partial(self._finish, worker, sock))
            return None
        self._let_go(worker, sock, error)
        return error

    def _finish(self, worker: Worker, sock: socket.socket, _events: int) -> None:
        """Takes what became of a connection, and lets its thread go on; unless a signal has called that away."""
        connecting = worker.connecting.get(sock.fileno())
        if connecting is None or connecting.sock is not sock:
            return
        began = time.monotonic()
        with self._impatience:
            is_awaited = worker.listener.is_valid(connecting.notification)
            error = connect(sock, connecting.raw) if is_awaited else errno.EINTR
            if error in (errno.EINPROGRESS, errno.EALREADY):
                return
            del worker.connecting[sock.fileno()]
            self._reactor.unregister(sock)
            self._let_go(worker, sock, error)
        worker.time.spend(time.monotonic() - began)
        if is_awaited:
            worker.listener.answer(connecting.notification, error)

    def _let_go(self, worker: Worker, sock: socket.socket, error: int) -> None:
        """Closes the supervisor's duplicates, without which a connection ends when the worker closes it."""
        if self._keeps_sockets and error in (0, errno.EINPROGRESS):
            found = os.fstat(sock.fileno())
            kept = worker.kept.pop((found.st_dev, found.st_ino), None)
            if kept is not None:
                kept.close()
        sock.close()

    def _refused_name(self, worker: Worker, name: str) -> None:
        remedy = f"`--egress {name}`, or `{name}:PORT`, added to the list"
        self._report(worker, name, DNS_PORT, "not on the function's list", remedy)

    def _report(self, worker: Worker, address: str, port: int, rule: str, remedy: str) -> None:
        if worker.refusals.try_spend(1):
            self._on_refused(Refusal(worker.id, address, port, rule, remedy))
