"""The filter of system calls around a worker: an allow list, decided by argument where a call has a harmless use too.

What is not on the list fails with EPERM, and with ENOSYS where a C library then takes an older way. Memory that is
writable and executable can't be refused: V8 makes code at run time.

A filter is built once and loaded as bytes, which every process that is walled off installs. `connect` and `socket` can
be left to a supervisor outside the walls (seccomp_unotify(2)): `install` then returns the listener it answers on.

A second, small filter stands in for what an older landlock lacks. Of the verdicts of two filters the severer counts
(seccomp(2)), so it names only what it refuses.
"""

import ctypes
import errno
import os
import signal
import stat
import struct
from collections.abc import Collection, Iterable
from typing import Final, Literal, overload

from cloudserve.core.confine.bpf import Code, answer, assemble, dispatch, if_any_bit, if_at_least, if_equal, load
from cloudserve.core.confine.numbers import ARCHITECTURES, NEWEST, always, by_argument, machine
from cloudserve.core.confine.syscalls import PR_SET_PDEATHSIG, no_new_privileges, syscall

Supervised = Literal["socket", "connect"]

# Verdicts: linux/seccomp.h.
_KILL_PROCESS: Final = 0x80000000
ERRNO: Final = 0x00050000
NOTIFY: Final = 0x7FC00000
ALLOW: Final = 0x7FFF0000

# The data a filter sees, `struct seccomp_data`: the call, the architecture, the caller's place, six 64-bit arguments.
CALL: Final = 0
_ARCHITECTURE: Final = 4
_ARGUMENTS: Final = 16

_NAMESPACES: Final = 0x7E020080
"""CLONE_NEW* of linux/sched.h."""

_AF_UNIX: Final = 1
_AF_INET: Final = 2
_AF_INET6: Final = 10
_STREAM: Final = 1
_SEQPACKET: Final = 5
_TYPE: Final = 0xF
"""The bits of a socket's type beside SOCK_NONBLOCK and SOCK_CLOEXEC."""
_TCP: Final = 6
_MSG_FASTOPEN: Final = 0x20000000

_OPTIONS: Final = {
    # SOL_SOCKET: REUSEADDR, SNDBUF, RCVBUF, KEEPALIVE, OOBINLINE, PRIORITY, LINGER, REUSEPORT, RCVLOWAT, SNDLOWAT,
    # RCVTIMEO, SNDTIMEO (both widths)
    1: (2, 7, 8, 9, 10, 12, 13, 15, 18, 19, 20, 21, 66, 67),
    # IPPROTO_IP: TOS, TTL, MTU_DISCOVER, RECVERR, BIND_ADDRESS_NO_PORT
    0: (1, 2, 10, 11, 24),
    # IPPROTO_IPV6: UNICAST_HOPS, MTU_DISCOVER, RECVERR, V6ONLY, TCLASS
    41: (16, 23, 25, 26, 67),
    # IPPROTO_TCP: NODELAY, CORK, KEEPIDLE, KEEPINTVL, KEEPCNT, SYNCNT, LINGER2, WINDOW_CLAMP, QUICKACK, CONGESTION,
    # USER_TIMEOUT, NOTSENT_LOWAT
    _TCP: (1, 3, 4, 5, 6, 7, 8, 10, 12, 13, 18, 25),
}
"""The options that clients tune their connections with. None binds to a device, marks, routes or sends with the SYN."""

_FIOASYNC: Final = 0x5452
_IOCTLS: Final = (
    0x5401,  # TCGETS: isatty
    0x802C542A,  # TCGETS2, what newer C libraries ask instead
    0x540F,  # TIOCGPGRP
    0x5411,  # SIOCOUTQ
    0x5413,  # TIOCGWINSZ
    0x541B,  # FIONREAD
    0x5421,  # FIONBIO
    0x5450,  # FIONCLEX
    0x5451,  # FIOCLEX
    _FIOASYNC,
)
"""Not those that tell of network interfaces: a socket that was made outside the walls would tell of the host's."""

_F_SETFL: Final = 4
_O_ACCMODE: Final = 3
_O_TRUNC: Final = 0o1000
_O_ASYNC: Final = 0o20000

_FILE_TYPE: Final = 0o170000
"""S_IFMT."""

_FCNTLS_REFUSED: Final = (8, 10, 15)
"""F_SETOWN, F_SETSIG, F_SETOWN_EX: signals to others."""

_PRCTLS: Final = (
    2,  # PR_GET_PDEATHSIG
    3,  # PR_GET_DUMPABLE
    15,  # PR_SET_NAME
    16,  # PR_GET_NAME
    23,  # PR_CAPBSET_READ
    29,  # PR_SET_TIMERSLACK
    30,  # PR_GET_TIMERSLACK
    38,  # PR_SET_NO_NEW_PRIVS
    39,  # PR_GET_NO_NEW_PRIVS
    41,  # PR_SET_THP_DISABLE
    42,  # PR_GET_THP_DISABLE
    51,  # PR_SVE_GET_VL
    0x53564D41,  # PR_SET_VMA: names of mappings
)

_SET_MODE_FILTER: Final = 1
_NEW_LISTENER: Final = 1 << 3
_WAIT_KILLABLE: Final = 1 << 5
"""Linux 5.19: no signal takes a call back that the supervisor has taken up, and perhaps carried out."""

_allowed: Final = answer(ALLOW)
_notified: Final = answer(NOTIFY)


def worker_filter(*, supervised: Collection[Supervised], architecture: str | None = None) -> bytes:
    """Returns the filter of a worker, whose calls in `supervised` wait for the supervisor's answer.

    `architecture` is this host's by default. Raises OSError when there is no table for it.
    """
    architecture = architecture or machine()
    rules = _rules(supervised)
    cases = dict.fromkeys(always(architecture).values(), _allowed)
    cases |= {number: rules[name] for name, number in by_argument(architecture).items()}
    known = dispatch(cases, _refused(errno.EPERM))
    # All of x32 is among the newcomers: its numbers begin at 2**30.
    calls = load(CALL, if_at_least(NEWEST + 1, _refused(errno.ENOSYS), known))
    return assemble(load(_ARCHITECTURE, if_equal(ARCHITECTURES[architecture], calls, answer(_KILL_PROCESS))))


def stand_in_filter(pid: int, *, truncation: bool, architecture: str | None = None) -> bytes:
    """Returns the filter that does what an older landlock can't, beside a worker's filter.

    The process `pid`, which leads a session, and all that it starts signal that process, its group and their own group
    alone. None leaves the session, so no group reaches beyond it, and while one is left the kernel gives the number to
    nobody else (`__change_pid` in kernel/pid.c). A filter can't know the children, so none can be signalled.

    With `truncation` nothing is truncated but what is opened to be written, which landlock judges in all its versions.
    Raises OSError when there is no table of system calls for the architecture, this host's by default.
    """
    architecture = architecture or machine()
    rules = _signals_within(pid) | (_truncation_by_descriptor() if truncation else {})
    numbers = always(architecture) | by_argument(architecture)
    cases = {numbers[name]: rule for name, rule in rules.items() if name in numbers}
    return assemble(load(CALL, dispatch(cases, _allowed)))


@overload
def install(bpf: bytes, *, listener: Literal[False] = False) -> None: ...


@overload
def install(bpf: bytes, *, listener: Literal[True]) -> int: ...


def install(bpf: bytes, *, listener: bool = False) -> int | None:
    """Puts a filter around this thread and all that come of it, for good, and forbids gaining privileges.

    With `listener` returns the descriptor on which a supervisor answers the filter's notified calls; it is closed on
    exec. Raises OSError.
    """
    no_new_privileges()
    instructions = ctypes.create_string_buffer(bpf, len(bpf))
    program = struct.pack("@HP", len(bpf) // 8, ctypes.addressof(instructions))  # struct sock_fprog
    if not listener:
        syscall("seccomp", _SET_MODE_FILTER, 0, program)
        return None
    try:
        return syscall("seccomp", _SET_MODE_FILTER, _NEW_LISTENER | _WAIT_KILLABLE, program)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return syscall("seccomp", _SET_MODE_FILTER, _NEW_LISTENER, program)


def _rules(supervised: Collection[Supervised]) -> dict[str, Code]:
    """Returns what becomes of each call whose arguments decide; an int's upper half means nothing to the kernel."""
    denied = _refused(errno.EPERM)
    missing = _refused(errno.ENOSYS)
    make_socket = _notified if "socket" in supervised else _allowed
    own = _argument(0, if_equal(0, _allowed, denied))
    fifo_or_file = dict.fromkeys((0, stat.S_IFREG, stat.S_IFIFO), _allowed)
    return {
        "clone": _argument(0, if_any_bit(_NAMESPACES, denied, _allowed)),
        "clone3": missing,  # its flags are in memory, which a filter can't read
        "connect": _notified if "connect" in supervised else _allowed,
        "execveat": missing,
        "fcntl": _argument(1, dispatch(dict.fromkeys(_FCNTLS_REFUSED, denied), _allowed)),
        "ioctl": _argument(1, _one_of(_IOCTLS, _refused(errno.ENOTTY))),
        "memfd_create": missing,  # its pages are in no process's resident memory, which the watchdog looks at
        "mknod": _argument(1, dispatch(fifo_or_file, denied), mask=_FILE_TYPE),
        "mknodat": _argument(2, dispatch(fifo_or_file, denied), mask=_FILE_TYPE),
        "prctl": _argument(0, _prctl(denied)),
        "prlimit64": own,
        "sched_setaffinity": own,
        "sendmmsg": _argument(3, _without_fast_open()),
        "sendmsg": _argument(2, _without_fast_open()),
        "sendto": _argument(3, _without_fast_open()),
        "setpriority": _argument(0, if_equal(os.PRIO_PROCESS, _argument(1, if_equal(0, _allowed, denied)), denied)),
        "setsockopt": _argument(1, _socket_option()),
        "socket": _argument(0, _socket(make_socket)),
        "socketpair": _argument(0, _socket_pair()),
    }


def _signals_within(pid: int) -> dict[str, Code]:
    """Files whose owner gets a signal are part of it: a terminal makes its foreground group the owner by itself."""
    denied = _refused(errno.EPERM)
    own = _argument(0, if_equal(pid, _allowed, denied))
    asynchronous = _argument(2, if_any_bit(_O_ASYNC, denied, _allowed))
    return {
        "fcntl": _argument(1, if_equal(_F_SETFL, asynchronous, _allowed)),
        "ioctl": _argument(1, if_equal(_FIOASYNC, denied, _allowed)),
        "kill": _argument(0, _one_of((0, pid, 2**32 - pid), denied)),  # the last one, -pid, is its group
        "pidfd_send_signal": denied,
        "setsid": denied,
        "tgkill": own,
        "tkill": own,
    }


def _truncation_by_descriptor() -> dict[str, Code]:
    """Opening truncates in every mode, also in 0 and 3, for which landlock asks no right to write."""
    denied = _refused(errno.EACCES)
    writes = dict.fromkeys((os.O_WRONLY, os.O_RDWR), _allowed)

    def opening(flags: int) -> Code:
        by_mode = _argument(flags, dispatch(writes, denied), mask=_O_ACCMODE)
        return _argument(flags, if_any_bit(_O_TRUNC, by_mode, _allowed))

    return {
        "open": opening(1),
        "openat": opening(2),
        "openat2": _refused(errno.ENOSYS),  # its flags are in memory
        "truncate": denied,
    }


def _socket(make_socket: Code) -> Code:
    """TCP over IP alone: a datagram or a raw socket would carry what no `connect` has announced."""
    protocol = _argument(2, dispatch(dict.fromkeys((0, _TCP), make_socket), _refused(errno.EPROTONOSUPPORT)))
    stream = _argument(1, if_equal(_STREAM, protocol, _refused(errno.EACCES)), mask=_TYPE)
    return dispatch(dict.fromkeys((_AF_INET, _AF_INET6), stream), _refused(errno.EAFNOSUPPORT))


def _socket_pair() -> Code:
    """No datagrams: one end of such a pair can send to any socket that has a name."""
    kind = _argument(1, _one_of((_STREAM, _SEQPACKET), _refused(errno.EPROTONOSUPPORT)), mask=_TYPE)
    return if_equal(_AF_UNIX, kind, _refused(errno.EAFNOSUPPORT))


def _socket_option() -> Code:
    unknown = _refused(errno.ENOPROTOOPT)
    return dispatch({level: _argument(2, _one_of(names, unknown)) for level, names in _OPTIONS.items()}, unknown)


def _prctl(denied: Code) -> Code:
    """The death of its parent stays the death of a worker."""
    deadly = _argument(1, if_equal(signal.SIGKILL, _allowed, denied))
    return dispatch({**dict.fromkeys(_PRCTLS, _allowed), PR_SET_PDEATHSIG: deadly}, denied)


def _without_fast_open() -> Code:
    """TCP Fast Open connects while it sends."""
    return if_any_bit(_MSG_FASTOPEN, _refused(errno.EOPNOTSUPP), _allowed)


def _one_of(values: Iterable[int], otherwise: Code) -> Code:
    return dispatch(dict.fromkeys(values, _allowed), otherwise)


def _argument(index: int, then: Code, *, mask: int | None = None) -> Code:
    return load(_ARGUMENTS + 8 * index, then, mask=mask)


def _refused(error: int) -> Code:
    return answer(ERRNO | error)
