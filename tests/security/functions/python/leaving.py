"""Leaves something for the next call of another function, in every place that could outlast its worker; and finds it.

What is left has the shape of a canary, so that finding it is what finding any other secret is.
"""

import ctypes
import errno
import fcntl
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from kit import Report, canaries, read_small, search_memory, system_call

_KEY = 0x5EC0DE
_CREATE = 0o1000
_PLACES = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run", "/box", "/box/fn", "/usr/local/lib", ".", "..")
_NAME = "left-behind"


def leave(report: Report, targets: dict[str, Any]) -> None:
    """Leaves the mark everywhere it can."""
    mark = targets["mark"].encode()
    for place in _PLACES:
        report.attempt_here(f"file in {place}", lambda place=place: _write(f"{place}/{_NAME}", mark))
    for name in ("msgget", "semget", "shmget"):
        arguments = {"msgget": (), "semget": (1,), "shmget": (4096,)}[name]
        report.attempt_here(name, lambda n=name, a=arguments: f"{system_call(n, _KEY, *a, _CREATE | 0o666)}")
    report.attempt_here("shared memory", lambda: _fill_segment(mark))
    report.attempt_here("mq_open", lambda: f"{system_call('mq_open', ctypes.c_char_p(b'left'), 0o102, 0o666, None)}")
    kind, name = ctypes.c_char_p(b"user"), ctypes.c_char_p(_NAME.encode())
    for ring in (-1, -2, -3):
        report.attempt_here(
            f"key in {ring}", lambda r=ring: f"{system_call('add_key', kind, name, mark, len(mark), r)}"
        )
    report.attempt_here("abstract socket", lambda: _bind())
    report.attempt_here("file lock", lambda: _lock())
    report.attempt_here("environment", lambda: os.environ.update(LEFT_BEHIND=mark.decode()))
    report.attempt_here("module", lambda: setattr(sys, "left_behind", mark))
    report.attempt_here("host name", lambda: socket.sethostname(mark.decode()[:60]))
    report.attempt_here("shared pages", lambda: _spoil_pages(mark))
    report.attempt_here("coredump filter", lambda: Path("/proc/self/comm").write_text("left"))


def find(report: Report, targets: dict[str, Any]) -> None:
    """Looks for the mark in the same places.

    A lock is looked for once its holder has ended: as long as it lives, a lock on a file that everybody reads is seen
    by everybody, and tells nothing but that.
    """
    for place in _PLACES:
        report.attempt_here(f"file in {place}", lambda place=place: canaries(read_small(f"{place}/{_NAME}")))
    for name in ("msgget", "semget", "shmget"):
        arguments = {"msgget": (), "semget": (1,), "shmget": (4096,)}[name]
        report.attempt_here(name, lambda n=name, a=arguments: f"{system_call(n, _KEY, *a, 0)}")
    report.attempt_here("shared memory", lambda: canaries(_segment().raw))
    report.attempt_here("mq_open", lambda: f"{system_call('mq_open', ctypes.c_char_p(b'left'), 2, 0, None)}")
    kind, name = ctypes.c_char_p(b"user"), ctypes.c_char_p(_NAME.encode())
    report.attempt_here("key", lambda: f"{system_call('request_key', kind, name, None, 0)}")
    report.attempt_here("abstract socket", lambda: _taken())
    if targets["late"]:
        report.attempt_here("file lock", _locked)
    report.attempt_here("environment", lambda: canaries(repr(dict(os.environ)).encode()))
    report.attempt_here("module", lambda: canaries(repr(getattr(sys, "left_behind", b"")).encode()))
    report.attempt_here("host name", lambda: canaries(socket.gethostname().encode()))
    report.attempt_here("memory", lambda: search_memory("/proc/self/mem", "/proc/self/maps"))


def _write(path: str, data: bytes) -> str:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.write(descriptor, data)
    os.fchmod(descriptor, 0o666)
    os.close(descriptor)
    return path


def _segment() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    segment = system_call("shmget", _KEY, 4096, 0)
    address = libc.shmat(segment, None, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "shmat")
    return (ctypes.c_char * 4096).from_address(address)


def _fill_segment(mark: bytes) -> str:
    _segment()[: len(mark)] = mark
    return "filled"


def _bind() -> str:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(f"\0{_NAME}")
    sys.kept_socket = sock  # type: ignore[attr-defined] # for as long as the worker lives
    return "bound"


def _taken() -> str | None:
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.bind(f"\0{_NAME}")
        except OSError as error:
            return "taken" if error.errno == errno.EADDRINUSE else None
    return None


_LOCKED = os.path.realpath(sys.executable)


def _lock() -> str:
    descriptor = os.open(_LOCKED, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return "locked"


def _locked() -> str | None:
    descriptor = os.open(_LOCKED, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return "locked by another"
    finally:
        os.close(descriptor)
    return None


def _spoil_pages(mark: bytes) -> str:
    """Writes over memory that was the zygote's before the fork, by the kernel's own hand (`/proc/self/mem`).

    The text is that of an error message in the C library's read-only data, which every process maps from one file.
    """
    maps = Path("/proc/self/maps").read_text().splitlines()
    region = next(line for line in maps if "libc" in line and line.split()[1].startswith("r--p"))
    begin, end = (int(part, 16) for part in region.split()[0].split("-"))
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(end - 4096)
        memory.write(mark)
        memory.seek(begin)
    return f"written at {time.time():.0f}"
