"""Tries system call filters, and answering a filtered call of another process (seccomp(2), seccomp_unotify(2)).

The filters here pick out pidfd_send_signal(2): nothing else in these processes makes that call, and container engines
allow it. One that their own filter refuses (open_tree(2), for instance) would never come to be answered here, since the
severest verdict counts.
"""

import errno
import fcntl
import os
import socket
import struct
from pathlib import Path
from typing import Final

from cloudserve.core.confine import syscalls as linux
from cloudserve.core.confine.bpf import answer, assemble, if_equal, load
from cloudserve.core.confine.probe.child import NoEffectError, must_fail, succeeded
from cloudserve.core.confine.seccomp import install

_FILTERED: Final = "pidfd_send_signal"
_REFUSE: Final = 0x00050000 | errno.ENOTTY  # SECCOMP_RET_ERRNO, with a word that this call never says
_NOTIFY: Final = 0x7FC00000
_ALLOW: Final = 0x7FFF0000
_WORD: Final = b"cloudserve\0"

# linux/seccomp.h
_CALL: Final = 0
_ADD_AND_SEND: Final = 2
_RECEIVE: Final = 0xC0502100
_SEND: Final = 0xC0182101
_ADD_DESCRIPTOR: Final = 0x40182103
_NOTIFICATION: Final = struct.Struct("=QIIiIQ6Q")
_ANSWER: Final = struct.Struct("=Qqi4x")
_ADDITION: Final = struct.Struct("=QIIII")


def _filter(verdict: int) -> bytes:
    """Returns a filter that gives one call a verdict and lets all else pass."""
    return assemble(load(_CALL, if_equal(linux.number(_FILTERED), answer(verdict), answer(_ALLOW))))


def seccomp() -> None:
    """Refuses itself a call."""
    install(_filter(_REFUSE))
    must_fail(lambda: linux.syscall(_FILTERED, -1, _WORD, 0), errno.ENOTTY)


class Notifying:
    """A child whose call waits for an answer of this process, as a worker's `connect` does."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.child = os.fork()
        if self.child == 0:
            self._notify(theirs)
        theirs.close()
        code, descriptors, _, _ = socket.recv_fds(ours, 4, 1)
        if not descriptors:
            raise OSError(struct.unpack("=i", code)[0], "in the child")
        self.listener = descriptors[0]
        ours.send(b".")
        notification = bytearray(_NOTIFICATION.size)
        fcntl.ioctl(self.listener, _RECEIVE, notification)
        self.id, _, _, _, _, _, _, self.address, *_ = _NOTIFICATION.unpack(notification)

    @staticmethod
    def _notify(channel: socket.socket) -> None:
        try:
            listener = install(_filter(_NOTIFY), listener=True)
        except OSError as error:
            channel.send(struct.pack("=i", error.errno))
            os._exit(0)
        socket.send_fds(channel, [b"...."], [listener])
        channel.recv(1)
        got = linux.syscall(_FILTERED, -1, _WORD, 0)
        os.fstat(got)
        os._exit(0)

    def answer(self, value: int) -> None:
        """Lets the call return a number."""
        fcntl.ioctl(self.listener, _SEND, _ANSWER.pack(self.id, value, 0))


def notification() -> None:
    """Answers a call of another process."""
    notifying = Notifying()
    notifying.answer(0)
    succeeded(notifying.child)


def notifier_memory() -> None:
    """Reads what the call of another process points at."""
    notifying = Notifying()
    with Path(f"/proc/{notifying.child}/mem").open("rb", buffering=0) as memory:
        memory.seek(notifying.address)
        if memory.read(len(_WORD)) != _WORD:
            raise NoEffectError


def notifier_handover() -> None:
    """Has the call of another process return a descriptor that this one has made."""
    notifying = Notifying()
    with socket.socket(socket.AF_UNIX) as made:
        fcntl.ioctl(
            notifying.listener, _ADD_DESCRIPTOR, _ADDITION.pack(notifying.id, _ADD_AND_SEND, made.fileno(), 0, 0)
        )
    succeeded(notifying.child)


def notifier_duplicates() -> None:
    """Takes a duplicate of another process's descriptor."""
    notifying = Notifying()
    os.close(linux.pidfd_getfd(os.pidfd_open(notifying.child), 0))
