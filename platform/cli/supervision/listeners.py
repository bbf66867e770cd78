"""The listening sockets, which outlive every platform process and so refuse nobody during a restart."""

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

BACKLOG: Final = 2048
"""Connections that wait while a platform process starts. The kernel caps it at net.core.somaxconn."""

Origin = Literal["platform", "run", "sandbox", "internal"]


@dataclass(frozen=True, slots=True)
class Address:
    """Where an origin listens."""

    origin: Origin
    host: str
    port: int


def addresses(host: str, port: int, run_port: int) -> list[Address]:
    """Returns where to listen. Browsers may reach `localhost` as ::1, so the platform's origin is there too."""
    wanted = [Address("platform", host, port), Address("run", host, run_port)]
    if host == "127.0.0.1" and _has_ipv6_loopback():
        wanted.insert(1, Address("platform", "::1", port))
    return wanted


class Listeners:
    """The open sockets, by address."""

    def __init__(self) -> None:
        self._open: dict[Address, socket.socket] = {}

    def open(self, wanted: Iterable[Address]) -> list[Address]:
        """Opens what is not open yet and returns those. Raises OSError, and then has opened none."""
        fresh: list[Address] = []
        try:
            for address in wanted:
                if address not in self._open:
                    self._open[address] = _listening(address)
                    fresh.append(address)
        except OSError:
            self.close(fresh)
            raise
        return fresh

    def keep_only(self, wanted: Iterable[Address]) -> None:
        """Closes all but these."""
        self.close(self._open.keys() - set(wanted))

    def close(self, unwanted: Iterable[Address]) -> None:
        """Closes these."""
        for address in list(unwanted):
            self._open.pop(address).close()

    def close_all(self) -> None:
        """Closes every socket."""
        self.close(list(self._open))

    def descriptors(self, wanted: Iterable[Address], origin: Origin) -> list[int]:
        """Returns the descriptors of one origin, to be inherited."""
        return [self._open[address].fileno() for address in wanted if address.origin == origin]


def _listening(address: Address) -> socket.socket:
    made = bound(address)
    try:
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise _refusal(address, error) from None
    return made


def bound(address: Address) -> socket.socket:
    """Returns a socket that has the address, and listens when told to. Raises OSError, which names the address."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address.host, address.port))
        made.setblocking(False)
    except OSError as error:
        made.close()
        raise _refusal(address, error) from None
    return made


def _refusal(address: Address, error: OSError) -> OSError:
    reason = "is taken" if error.errno == errno.EADDRINUSE else f"can't be used ({error.strerror})"
    return OSError(error.errno, f"port {address.port} of {address.host} {reason}")


def _has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
