"""Asks the host's resolvers one question: by UDP, by TCP where the answer is too long, the next where one is silent."""

import contextlib
import errno
import os
import select
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from cloudserve.core.confine.egress import dns
from cloudserve.core.confine.egress.addresses import Address
from cloudserve.core.confine.egress.reactor import Reactor

TRY_SECONDS: Final = 1.5
ROUNDS: Final = 2
_PASSED_ON: Final = (dns.SERVER_FAILURE, dns.REFUSED, 4)
"""RCODEs (4: not implemented) after which a C library asks the next resolver, too."""


class Lookup:
    """A question under way. `on_done` gets the answer, or None when nobody has given one, once."""

    def __init__(
        self,
        reactor: Reactor,
        nameservers: Sequence[tuple[Address, int]],
        query: bytes,
        question: dns.Question,
        on_done: Callable[[bytes | None], None],
    ) -> None:
        self._reactor = reactor
        self._tries = [*nameservers] * ROUNDS
        self._query = query
        self._question = question
        self._on_done = on_done
        self._number = 0
        self._socket: socket.socket | None = None
        self._received = bytearray()
        self._best: bytes | None = None
        self._timer = reactor.after(0, self._ask_next)

    def cancel(self) -> None:
        """Gives it up; `on_done` is not called."""
        self._timer.cancel()
        if self._socket is not None:
            self._reactor.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def _ask_next(self) -> None:
        """Asks the next resolver, or ends when all have been asked."""
        self.cancel()
        while self._tries:
            nameserver = self._tries.pop(0)
            self._number = int.from_bytes(os.urandom(2), "big")
            with contextlib.suppress(OSError):
                sock = self._open(nameserver, socket.SOCK_DGRAM, select.EPOLLIN, partial(self._datagram, nameserver))
                sock.send(dns.with_number(self._query, self._number))
                return
            self.cancel()
        self._end(self._best)

    def _open(
        self, nameserver: tuple[Address, int], kind: int, events: int, handler: Callable[[int], None]
    ) -> socket.socket:
        """Connects to a resolver, and asks the next one after a while."""
        address, port = nameserver
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        sock = socket.socket(family, kind | socket.SOCK_NONBLOCK)
        self._reactor.register(sock, events, handler)
        self._socket = sock
        self._timer = self._reactor.after(TRY_SECONDS, self._ask_next)
        error = sock.connect_ex((str(address), port))
        if error not in (0, errno.EINPROGRESS):
            raise OSError(error, os.strerror(error))
        return sock

    def _datagram(self, nameserver: tuple[Address, int], _events: int) -> None:
        if self._socket is None:
            return
        try:
            answer = self._socket.recv(dns.MAX_MESSAGE)
        except BlockingIOError:
            return
        except OSError:  # such as an ICMP message that says nobody is there
            self._ask_next()
            return
        if not dns.is_answer_to(answer, self._number, self._question):
            return
        if dns.is_truncated(answer):
            self._ask_by_stream(nameserver)
        else:
            self._take(answer)

    def _ask_by_stream(self, nameserver: tuple[Address, int]) -> None:
        self.cancel()
        self._received.clear()
        try:
            self._open(nameserver, socket.SOCK_STREAM, select.EPOLLOUT, self._stream)
        except OSError:
            self._ask_next()

    def _stream(self, events: int) -> None:
        if self._socket is None:
            return
        try:
            if events & select.EPOLLOUT:
                message = dns.with_number(self._query, self._number)
                self._socket.send(dns.framed(message))  # a new connection has room for it
                self._reactor.modify(self._socket, select.EPOLLIN)
                return
            part = self._socket.recv(dns.MAX_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        self._received += part
        answer = dns.take_framed(self._received)
        if answer is not None and dns.is_answer_to(answer, self._number, self._question):
            self._take(answer)
        elif answer is not None or not part:
            self._ask_next()

    def _take(self, answer: bytes) -> None:
        if dns.code(answer) in _PASSED_ON:
            self._best = answer
            self._ask_next()
        else:
            self._end(answer)

    def _end(self, answer: bytes | None) -> None:
        self.cancel()
        self._on_done(None if answer is None else dns.with_number(answer, dns.number_of(self._query)))
