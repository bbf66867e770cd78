"""System calls that wait for a supervisor's answer: seccomp_unotify(2), from the supervisor's side."""

import contextlib
import errno
import fcntl
import os
import signal
import socket
import struct
from dataclasses import dataclass
from typing import Final

# Requests and structures of linux/seccomp.h.
_RECEIVE: Final = 0xC0502100
_SEND: Final = 0xC0182101
_IS_VALID: Final = 0x40082102
_ADD_DESCRIPTOR: Final = 0x40182103
_SET_FLAGS: Final = 0x40082104
_SYNC_WAKE_UP: Final = 1
_ADD_AND_SEND: Final = 2
_NOTIFICATION: Final = struct.Struct("=QIIiIQ6Q")
_ANSWER: Final = struct.Struct("=QqiI")
_ADDED: Final = struct.Struct("=QIIII")
_ID: Final = struct.Struct("=Q")

_INTERRUPTING: Final = (
    *(signal.SIGALRM, signal.SIGCHLD, signal.SIGHUP, signal.SIGINT),
    *(signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH),
)
"""The signals that a process may have a handler for."""


@dataclass(frozen=True, slots=True)
class Notification:
    """A call that waits. `thread` is who made it, as this process numbers threads; 0 when it sees no such thread."""

    id: int
    thread: int
    call: int
    arguments: tuple[int, ...]


class Listener:
    """Receives and answers the notified calls of a filter. That whoever waits has gone is no error: it may at any time.

    `fileno` is readable when `receive` has something, and hangs up when nobody is behind the filter any more.
    """

    def __init__(self, descriptor: int) -> None:
        """Takes the descriptor over."""
        self._descriptor = descriptor
        self._buffer = bytearray(_NOTIFICATION.size)
        with contextlib.suppress(OSError):  # before Linux 6.6; it only halves the latency
            fcntl.ioctl(descriptor, _SET_FLAGS, _SYNC_WAKE_UP)

    def fileno(self) -> int:
        return self._descriptor

    def receive(self) -> Notification | None:
        """Returns the next call; None when it has gone again. To be called when `fileno` is readable, else it waits."""
        self._buffer[:] = bytes(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self._descriptor, _RECEIVE, self._buffer, True)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):  # its thread got a signal, or ended
                return None
            raise
        number, thread, _, call, _, _, *arguments = _NOTIFICATION.unpack(self._buffer)
        return Notification(number, thread, call, tuple(arguments))

    def is_valid(self, notification: Notification) -> bool:
        """Tells whether the call still waits, so that its thread is still the one that was looked at."""
        return self._asked(_IS_VALID, _ID.pack(notification.id))

    def answer(self, notification: Notification, error: int) -> None:
        """Ends the call: 0 is success, anything else the error it fails with."""
        self._asked(_SEND, _ANSWER.pack(notification.id, 0, -error, 0))

    def answer_with(self, notification: Notification, sock: socket.socket, *, close_on_exec: bool) -> None:
        """Ends the call with a socket, put into the caller's table of descriptors in the same step (Linux 5.14).

        Waits until the caller's thread has run, and must not be interrupted: the kernel then ends the call with 0,
        which the caller takes for a descriptor. Raises OSError where the caller's table is full.
        """
        flags = os.O_CLOEXEC if close_on_exec else 0
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTING)
        try:
            self._asked(_ADD_DESCRIPTOR, _ADDED.pack(notification.id, _ADD_AND_SEND, sock.fileno(), 0, flags))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def close(self) -> None:
        """Whoever waits, or calls from now on, gets ENOSYS."""
        os.close(self._descriptor)

    def _asked(self, request: int, data: bytes) -> bool:
        while True:
            try:
                fcntl.ioctl(self._descriptor, request, data)
            except InterruptedError:
                continue
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.EINPROGRESS):
                    return False
                raise
            return True
