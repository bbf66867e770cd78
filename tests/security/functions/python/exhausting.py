"""Attacks that use everything up, each up to a bound that is far above what a worker may have.

They go on in processes and threads that stay, so that what they took is still taken when others are looked at.
"""

import contextlib
import errno
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

from kit import libc

_MEBIBYTE = 1 << 20
_PR_SET_NAME = 15
_LONGEST_NAME = 15
_LONGEST_RUN = 60
_kept: list[Any] = []


def fork_bomb(targets: dict[str, Any]) -> dict[str, Any]:
    """Starts processes, which start processes, and then threads, until the kernel refuses."""
    made, why = 0, ""
    mine, theirs = os.pipe()
    while made < targets["most"]:
        try:
            if os.fork() == 0:
                _multiply(theirs)
        except OSError as error:
            why = errno.errorcode[error.errno or 0]
            break
        made += 1
    threads = 0
    try:
        while threads < targets["most"]:
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
            threads += 1
    except RuntimeError:
        pass
    _kept.append(mine)
    return {"processes": made, "threads": threads, "refused": why}


def memory(targets: dict[str, Any]) -> dict[str, Any]:
    """Fills the memory of this process."""
    try:
        _kept.extend(b"x" * _MEBIBYTE for _ in range(targets["mebibytes"]))
    except MemoryError:
        held = len(_kept)
        _kept.clear()
        return {"mebibytes": held, "refused": "MemoryError"}
    return {"mebibytes": len(_kept)}


def memory_in_children(targets: dict[str, Any]) -> dict[str, Any]:
    """Fills memory in children, each of which stays below what one process may have."""
    mine, theirs = os.pipe()
    for _ in range(targets["children"]):
        if os.fork() == 0:
            _kept.extend(b"x" * _MEBIBYTE for _ in range(targets["each"]))
            os.write(theirs, b".")
            time.sleep(60)
            os._exit(0)
    done = sum(len(os.read(mine, 1)) for _ in range(targets["children"]))
    return {"mebibytes": done * targets["each"]}


def disk(targets: dict[str, Any]) -> dict[str, Any]:
    """Fills its temporary folder, with as many files as it takes."""
    written, why, folder = 0, "", tempfile.mkdtemp()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    data = os.urandom(_MEBIBYTE)
    for number in range(targets["mebibytes"]):
        try:
            with open(f"{folder}/{number // 32}", "ab", buffering=0) as file:
                written += file.write(data)
        except OSError as error:
            why = errno.errorcode[error.errno or 0]
            break
    return {"mebibytes": written / _MEBIBYTE, "refused": why}


def inodes(targets: dict[str, Any]) -> dict[str, Any]:
    """Makes empty files in its temporary folder."""
    folder = tempfile.mkdtemp()
    for number in range(targets["most"]):
        try:
            os.close(os.open(f"{folder}/{number}", os.O_CREAT | os.O_WRONLY))
        except OSError as error:
            return {"files": number, "refused": errno.errorcode[error.errno or 0]}
    return {"files": targets["most"]}


def open_files(targets: dict[str, Any]) -> dict[str, Any]:
    """Opens descriptors of several kinds, and has more of them under way in sockets."""
    opened, why = 0, ""
    try:
        while opened < targets["most"]:
            _kept.append(socket.socketpair())
            opened += 2
    except OSError as error:
        why = errno.errorcode[error.errno or 0]
    under_way = 0
    pairs = [kept for kept in _kept if isinstance(kept, tuple)]
    try:
        for ours, _ in pairs:
            socket.send_fds(ours, [b"x"], [0] * 200)
            under_way += 200
    except OSError:
        pass
    return {"opened": opened, "under_way": under_way, "refused": why}


def output(targets: dict[str, Any]) -> dict[str, Any]:
    """Floods the log by its own stream and past it."""
    line = "x" * 1000
    for _ in range(targets["kilobytes"] // 2):
        print(line)
    for descriptor in (1, 2):
        for _ in range(targets["kilobytes"] // 4):
            os.write(descriptor, line.encode() + b"\n")
    return {}


def endless_answer(targets: dict[str, Any]) -> Iterator[bytes]:
    """Answers without end."""
    del targets
    part = bytes(65536)
    while True:
        yield part


def spinning(targets: dict[str, Any]) -> dict[str, Any]:
    """Keeps every processor busy from several processes, with the best priority that it can get."""
    for _ in range(targets["processes"]):
        if os.fork() == 0:
            with contextlib.suppress(OSError):
                os.nice(-20)
            while True:
                pass
    while True:
        pass


def runners(targets: dict[str, Any]) -> dict[str, Any]:
    """Starts processes that are never there when looked for: each makes its successor and ends at once."""
    name = targets["mark"].encode()[:_LONGEST_NAME]
    for _ in range(targets["runners"]):
        if os.fork() == 0:
            os.setsid()
            libc.prctl(_PR_SET_NAME, name, 0, 0, 0)
            ends_at = time.monotonic() + _LONGEST_RUN
            while time.monotonic() < ends_at:
                try:
                    if os.fork() != 0:
                        os._exit(0)
                except OSError:
                    continue
            os._exit(0)
    time.sleep(0.2)
    return {"pid": os.getpid()}


def _multiply(out: int) -> None:
    signal.alarm(90)
    with contextlib.suppress(OSError):
        os.fork()
    os.write(out, b".")
    time.sleep(60)
    os._exit(0)


def background(targets: dict[str, Any]) -> dict[str, Any]:
    """Goes on after the answer: in a thread, and by the kernel's own clock."""
    name = targets["mark"]

    def go_on() -> None:
        while True:
            with open(f"{tempfile.gettempdir()}/beat", "a") as file:
                file.write(name)
            print(name, flush=True)
            time.sleep(0.05)

    signal.signal(signal.SIGALRM, lambda *_: _kept.append(name))
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    threading.Thread(target=go_on, daemon=True).start()
    return {"pid": os.getpid()}


def daemons(targets: dict[str, Any]) -> dict[str, Any]:
    """Detaches processes in every way: a session of their own, orphaned, deaf to signals, of another name."""
    for step in range(3):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                if step > 0:
                    for number in range(1, 32):
                        if number not in (signal.SIGKILL, signal.SIGSTOP):
                            signal.signal(number, signal.SIG_IGN)
                if step > 1:
                    os.closerange(0, 1024)
                os.execv(targets["python"], [targets["mark"], "-I", "-S", "-c", "import time; time.sleep(300)"])
            os._exit(0)
    time.sleep(0.2)
    return {"pid": os.getpid()}
