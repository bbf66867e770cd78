"""Tries system call filters, and answering a filtered call of another process (seccomp(2), seccomp_unotify(2)).

The filters here pick out pidfd_send_signal(2): nothing else in these processes makes that call, and container engines
allow it. One that their own filter refuses (open_tree(2), for instance) would never come to be answered here, since the
severest verdict counts.
"""

import errno
import os
import socket
import struct
from pathlib import Path
from typing import Final

from cloudserve.core.confine import syscalls as linux
from cloudserve.core.confine.bpf import answer, assemble, if_equal, load
from cloudserve.core.confine.egress.notifications import Listener
from cloudserve.core.confine.probe.child import NoEffectError, must_fail, succeeded
from cloudserve.core.confine.seccomp import ALLOW, CALL, ERRNO, NOTIFY, install

_FILTERED: Final = "pidfd_send_signal"
_REFUSE: Final = ERRNO | errno.ENOTTY  # a word that this call never says
_WORD: Final = b"cloudserve\0"
_WORD_AT: Final = 1  # of the call's arguments


def _filter(verdict: int) -> bytes:
    """Returns a filter that gives one call a verdict and lets all else pass."""
    return assemble(load(CALL, if_equal(linux.number(_FILTERED), answer(verdict), answer(ALLOW))))


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
        self.listener = Listener(descriptors[0])
        ours.send(b".")
        received = self.listener.receive()
        if received is None:
            raise NoEffectError
        self.call = received

    @staticmethod
    def _notify(channel: socket.socket) -> None:
        try:
            listener = install(_filter(NOTIFY), listener=True)
        except OSError as error:
            channel.send(struct.pack("=i", error.errno))
            os._exit(0)
        socket.send_fds(channel, [b"...."], [listener])
        channel.recv(1)
        got = linux.syscall(_FILTERED, -1, _WORD, 0)
        os.fstat(got)
        os._exit(0)


def notification() -> None:
    """Answers a call of another process."""
    notifying = Notifying()
    notifying.listener.answer(notifying.call, 0)
    succeeded(notifying.child)


def notifier_memory() -> None:
    """Reads what the call of another process points at."""
    notifying = Notifying()
    with Path(f"/proc/{notifying.child}/mem").open("rb", buffering=0) as memory:
        memory.seek(notifying.call.arguments[_WORD_AT])
        if memory.read(len(_WORD)) != _WORD:
            raise NoEffectError


def notifier_handover() -> None:
    """Has the call of another process return a descriptor that this one has made."""
    notifying = Notifying()
    with socket.socket(socket.AF_UNIX) as made:
        notifying.listener.answer_with(notifying.call, made, close_on_exec=False)
    succeeded(notifying.child)


def notifier_duplicates() -> None:
    """Takes a duplicate of another process's descriptor."""
    notifying = Notifying()
    os.close(linux.pidfd_getfd(os.pidfd_open(notifying.child), 0))
