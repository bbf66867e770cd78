"""Connecting somebody else's socket without ever waiting for it, however its owner tampers with it."""

import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from types import TracebackType
from typing import Final

from cloudserve.core.confine.egress.addresses import Address

MAX_SOCKADDR: Final = 128
"""sizeof(struct sockaddr_storage): the kernel takes no longer address."""

_LONGEST_STALL: Final = 0.01
_FAMILY_LENGTH: Final = 2
_LENGTHS: Final = {socket.AF_INET: 16, socket.AF_INET6: 24}
"""The least the kernel takes; an IPv6 address may come without its scope (SIN6_LEN_RFC2133)."""

_libc: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class SocketAddress:
    """An address as a process has written it, and where it leads."""

    raw: bytes
    address: Address | None = None
    port: int = 0

    @classmethod
    def read(cls, raw: bytes) -> "SocketAddress":
        """Reads `struct sockaddr`. AF_UNSPEC leads nowhere: it disconnects.

        Raises OSError for one that is cut short, and for one that is no IP address.
        """
        family = struct.unpack_from("=H", raw)[0] if len(raw) >= _FAMILY_LENGTH else socket.AF_UNSPEC
        if len(raw) < _LENGTHS.get(family, _FAMILY_LENGTH):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if family == socket.AF_INET:
            return cls(raw, IPv4Address(raw[4:8]), struct.unpack_from(">H", raw, 2)[0])
        if family == socket.AF_INET6:
            return cls(raw, IPv6Address(raw[8:24]), struct.unpack_from(">H", raw, 2)[0])
        if family == socket.AF_UNSPEC:
            return cls(raw)
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))


class Impatience:
    """A context in which no system call of this thread waits longer than some milliseconds.

    A socket that another process shares can begin to wait at any moment: O_NONBLOCK is taken away between the look at
    it and the use, SO_LINGER makes closing wait. An interval timer interrupts whatever waits, again and again until it
    is over, so that one that came too early harms nothing.
    """

    def __init__(self) -> None:
        """Has SIGALRM handled by this process from now on; to be made in its main thread."""
        signal.signal(signal.SIGALRM, lambda *_: None)

    def __enter__(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, _LONGEST_STALL, _LONGEST_STALL)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)


def adopt(descriptor: int) -> socket.socket:
    """Returns the socket of a descriptor, which is closed when it has none. Raises OSError."""
    try:
        return socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        raise


def waits(sock: socket.socket) -> bool:
    """Tells whether calls on a socket wait: its file's O_NONBLOCK, which all who share it see."""
    return not fcntl.fcntl(sock, fcntl.F_GETFL) & os.O_NONBLOCK


def connect(sock: socket.socket, raw: bytes) -> int:
    """Connects without waiting, and returns connect(2)'s error, or 0. To be called with `Impatience`.

    EINPROGRESS: it goes on, and another call when the socket is writable returns what became of it.
    """
    flags = fcntl.fcntl(sock, fcntl.F_GETFL)
    if flags & os.O_NONBLOCK:
        return _connect(sock, raw)
    fcntl.fcntl(sock, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    try:
        return _connect(sock, raw)
    finally:
        fcntl.fcntl(sock, fcntl.F_SETFL, flags)


def _connect(sock: socket.socket, raw: bytes) -> int:
    # Python's own `connect_ex` takes up waiting again after a signal.
    if _libc.connect(sock.fileno(), raw, len(raw)) == 0:
        return 0
    error = ctypes.get_errno()
    return errno.EACCES if error == errno.EINTR else error  # it waited, which only tampering brings about
