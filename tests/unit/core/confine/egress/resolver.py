"""A resolver of the test: answers by UDP and TCP from a table, and can be silent, wrong or cut short."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

from cloudserve.core.confine.egress import dns
from cloudserve.core.confine.egress.resolvers import Resolvers
from tests.unit.core.confine.egress.test_dns import answer


@dataclass
class Resolver:
    """What it knows (`names`), how it behaves, and what it was asked by which protocol."""

    names: dict[str, list[str]]
    code: int = 0
    silent: bool = False
    truncates: bool = False
    host: str = "127.0.0.1"
    port: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def configuration(self) -> Resolvers:
        """The configuration that names it."""
        return Resolvers(((ip_address(self.host), self.port),))

    def answer(self, query: bytes, protocol: str) -> bytes | None:
        """Returns the answer to a query."""
        question = dns.read_query(query)
        self.asked.append((protocol, question.name))
        if self.silent:
            return None
        if self.truncates and protocol == "udp":
            return answer(query, flags=0x8380)
        kind = int.from_bytes(question.raw[-4:-2], "big")
        if self.code or question.name not in self.names:
            return dns.failure(query, question, self.code or dns.NO_SUCH_NAME)
        found = [ip_address(text) for text in self.names[question.name]]
        version = {1: 4, 28: 6}.get(kind)
        return answer(query, *((kind, 5, address.packed) for address in found if address.version == version))


@contextmanager
def resolving(resolver: Resolver) -> Iterator[Resolver]:
    """Runs a resolver on its address; port 0 is any that is free in both protocols."""
    stream = socket.create_server((resolver.host, resolver.port))
    resolver.port = stream.getsockname()[1]
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind((resolver.host, resolver.port))

    def by_datagram() -> None:
        while True:
            query, client = datagrams.recvfrom(4096)
            if not query:
                return
            said = resolver.answer(query, "udp")
            if said is not None:
                datagrams.sendto(b"\0\0" + said[2:], client)  # a forgery with another number comes to nothing
                datagrams.sendto(said, client)

    def by_stream() -> None:
        while True:
            connection, _ = stream.accept()
            with connection:
                query = dns.take_framed(bytearray(connection.recv(4096)))
                if query is None:
                    return
                said = resolver.answer(query, "tcp")
                if said is not None:
                    connection.sendall(dns.framed(said))

    threads = [threading.Thread(target=work) for work in (by_datagram, by_stream)]
    for thread in threads:
        thread.start()
    try:
        yield resolver
    finally:
        datagrams.sendto(b"", (resolver.host, resolver.port))
        socket.create_connection((resolver.host, resolver.port)).close()
        for thread in threads:
            thread.join()
        stream.close()
        datagrams.close()
