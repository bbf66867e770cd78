"""Asks the kernel whose an address is: this host's own, or another's."""

import contextlib
import socket
import struct
from typing import Final

from cloudserve.core.confine.egress.addresses import Address

# rtnetlink(7)
_GET_ROUTE: Final = 26
_NEW_ROUTE: Final = 24
_REQUEST: Final = 1
_DESTINATION: Final = 1
_MESSAGE: Final = struct.Struct("=IHHII")
_ROUTE: Final = struct.Struct("=8BI")
_ATTRIBUTE: Final = struct.Struct("=HH")
_KIND: Final = _MESSAGE.size + 7
_LOCAL_KINDS: Final = (2, 3, 4, 5)
"""RTN_LOCAL, RTN_BROADCAST, RTN_ANYCAST, RTN_MULTICAST."""


class Routes:
    """Looks addresses up in this process's network namespace, each time anew: they come and go."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._asked = 0

    def is_own(self, address: Address) -> bool:
        """Tells whether a packet to an address would stay on this host. True as well when the kernel doesn't say.

        An address without a route is not: connecting says what is wrong with it.
        """
        packed = address.packed
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(packed), _DESTINATION) + packed
        route = _ROUTE.pack(family, 8 * len(packed), 0, 0, 0, 0, 0, 0, 0) + attribute
        self._asked = (self._asked + 1) % (1 << 32)
        message = _MESSAGE.pack(_MESSAGE.size + len(route), _GET_ROUTE, _REQUEST, self._asked, 0) + route
        with contextlib.suppress(OSError):  # the kernel answers before `send` returns; BlockingIOError: it did not
            self._socket.send(message)
            while len(answer := self._socket.recv(4096)) > _KIND:
                _, kind, _, number, _ = _MESSAGE.unpack_from(answer)
                if number == self._asked:
                    return kind == _NEW_ROUTE and answer[_KIND] in _LOCAL_KINDS
        return True

    def close(self) -> None:
        self._socket.close()
