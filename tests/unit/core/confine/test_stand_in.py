"""What stands in for an older landlock: no signal leaves a worker, and nothing is truncated that it may not write.

The kernel at hand may well have all of landlock; here it is used as if it knew no scopes.
"""

import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudserve.core.confine import landlock, walls
from cloudserve.core.confine.numbers import ARCHITECTURES, always, by_argument, machine
from cloudserve.core.confine.seccomp import install, stand_in_filter, worker_filter
from tests.unit.core.confine.forked import forked
from tests.unit.core.confine.interpreter import verdict

ALLOWED = 0x7FFF0000
PID = 4321
OTHER = 77
QUEUE = {"x86_64": (129, 297), "aarch64": (138, 240)}
"""rt_sigqueueinfo and rt_tgsigqueueinfo, which no worker may call, whomever they name."""

_here = pytest.mark.skipif(
    landlock.abi() == 0 and os.environ.get("CI") != "true",
    reason="this kernel has no landlock: see /sys/kernel/security/lsm",
)


def refused(error: int) -> int:
    """Returns the verdict that fails a call with an error."""
    return 0x00050000 | error


def said(name: str, *arguments: int, architecture: str = "x86_64") -> int:
    """Returns what the filter says to a call."""
    numbers = always(architecture) | by_argument(architecture)
    return verdict(stand_in_filter(PID, truncation=True, architecture=architecture), numbers[name], *arguments)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_signals_go_to_the_process_itself_and_its_group(architecture: str) -> None:
    """A pid is an int: what the upper half of its register holds means nothing to the kernel, nor to the filter."""
    for pid in (PID, PID + (5 << 32)):
        for name in ("kill", "tgkill", "tkill"):
            assert said(name, pid, architecture=architecture) == ALLOWED
    for group in (0, -PID, 2**32 - PID):
        assert said("kill", group, architecture=architecture) == ALLOWED
    for pid in (OTHER, OTHER + (PID << 32), -OTHER, -1, 2**32 - 1, 1):
        for name in ("kill", "tgkill", "tkill"):
            assert said(name, pid, architecture=architecture) == refused(errno.EPERM)
    for pid in (0, -PID):
        assert said("tgkill", pid, architecture=architecture) == refused(errno.EPERM)
    assert said("pidfd_send_signal", 3, architecture=architecture) == refused(errno.EPERM)
    assert said("setsid", architecture=architecture) == refused(errno.EPERM)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_queued_signals_are_for_nobody(architecture: str) -> None:
    """The worker's own filter, with which it is installed, has them not on its list."""
    program = worker_filter(supervised=(), architecture=architecture)
    for number in QUEUE[architecture]:
        assert verdict(program, number, PID, architecture=ARCHITECTURES[architecture]) == refused(errno.EPERM)


def test_no_file_signals_the_group_of_a_terminal() -> None:
    """Asynchronous input makes a terminal's foreground group the file's owner, such as the platform's."""
    assert said("fcntl", 3, fcntl.F_SETFL, os.O_NONBLOCK) == said("fcntl", 3, fcntl.F_GETFD, 0x2000) == ALLOWED
    for command in (fcntl.F_SETFL, fcntl.F_SETFL + (1 << 32)):
        assert said("fcntl", 3, command, 0x2000 | os.O_NONBLOCK) == refused(errno.EPERM)
    assert said("ioctl", 3, 0x5421) == ALLOWED
    assert said("ioctl", 3, 0x5452) == refused(errno.EPERM)


def test_truncating_takes_a_file_that_is_opened_to_be_written() -> None:
    """In the modes 0 and 3 opening truncates without asking landlock for the right to write."""
    truncate = 0x200
    for name, before in (("open", (0,)), ("openat", (0, 0))):
        for mode in (0, 1, 2, 3):
            assert said(name, *before, mode) == ALLOWED
            assert said(name, *before, mode | truncate) == (ALLOWED if mode in (1, 2) else refused(errno.EACCES))
    assert said("truncate") == refused(errno.EACCES)
    assert said("openat2") == refused(errno.ENOSYS)
    assert said("ftruncate") == said("creat") == ALLOWED


def test_landlock_is_left_what_it_knows() -> None:
    """From Linux 6.2 on it judges truncation itself."""
    program = stand_in_filter(PID, truncation=False, architecture="x86_64")
    assert verdict(program, always("x86_64")["truncate"]) == ALLOWED
    assert verdict(program, always("x86_64")["kill"], OTHER) == refused(errno.EPERM)


@pytest.fixture
def outside() -> Iterator[int]:
    """A process that anybody of its user can signal, in a group and a session of its own."""
    process = subprocess.Popen(["/bin/sleep", "60"], start_new_session=True)
    yield process.pid
    assert process.poll() is None, "a signal has reached it"
    process.kill()
    process.wait()


def behind(work: Callable[[], Any]) -> Any:
    """Returns what something returns behind the walls of a worker at tier C without landlock's scopes."""

    def child() -> Any:
        os.setsid()
        walls.confine_files(read=["/"], write=["/dev/null"], scoped=False)
        walls.stand_in_for_landlock()
        install(worker_filter(supervised=()))
        return work()

    return forked(child)


def errors(attempts: dict[str, Callable[[], Any]]) -> dict[str, str | None]:
    """Makes attempts and returns the name of the error of each, or nothing."""
    found: dict[str, str | None] = {}
    for name, attempt in attempts.items():
        try:
            attempt()
            found[name] = None
        except OSError as error:
            found[name] = errno.errorcode[error.errno or 0]
    return found


def called(name: str, *arguments: int) -> None:
    """Makes a call of the kernel's."""
    libc = ctypes.CDLL(None, use_errno=True)
    queue = dict(zip(("rt_sigqueueinfo", "rt_tgsigqueueinfo"), QUEUE[machine()], strict=True))
    number = {**always(machine()), **by_argument(machine()), **queue}[name]
    if libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)) < 0:
        raise OSError(ctypes.get_errno(), name)


def tried(pid: int, worker: int) -> dict[str, str | None]:
    """Tries every way to signal a process, with a signal that would end it, from a worker or below it."""
    deadly = int(signal.SIGTERM)
    information = ctypes.create_string_buffer(struct.pack("=iii", deadly, 0, -1), 128)
    address = ctypes.addressof(information)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        return errors(
            {
                "kill": lambda: os.kill(pid, deadly),
                "kill, upper half": lambda: called("kill", pid + (1 << 32), deadly),
                "kill, own pid above": lambda: called("kill", pid + (worker << 32), deadly),
                "killpg": lambda: os.killpg(pid, deadly),
                "exists": lambda: os.kill(pid, 0),
                "tkill": lambda: called("tkill", pid, deadly),
                "tgkill": lambda: called("tgkill", pid, pid, deadly),
                "tgkill, own group": lambda: called("tgkill", worker, pid, deadly),
                "rt_sigqueueinfo": lambda: called("rt_sigqueueinfo", pid, deadly, address),
                "rt_tgsigqueueinfo": lambda: called("rt_tgsigqueueinfo", pid, pid, deadly, address),
                "pidfd_send_signal": lambda: signal.pidfd_send_signal(os.pidfd_open(pid), deadly),
                "F_SETOWN": lambda: fcntl.fcntl(ours, fcntl.F_SETOWN, pid),
                "F_SETOWN_EX": lambda: fcntl.fcntl(ours, 15, struct.pack("=ii", 1, pid)),
                "F_SETSIG": lambda: fcntl.fcntl(ours, 10, deadly),
                "O_ASYNC": lambda: fcntl.fcntl(ours, fcntl.F_SETFL, os.O_ASYNC),
                "FIOASYNC": lambda: fcntl.ioctl(ours, 0x5452, b"\1\0\0\0"),
                "FIOSETOWN": lambda: fcntl.ioctl(ours, 0x8901, struct.pack("=i", pid)),
                "SIOCSPGRP": lambda: fcntl.ioctl(ours, 0x8902, struct.pack("=i", pid)),
            }
        )


@_here
def test_no_process_outside_is_signalled(outside: int) -> None:
    """Neither by the worker nor by a process that it starts, in no way there is."""

    def work() -> list[dict[str, str | None]]:
        worker = os.getpid()
        return [tried(outside, worker), forked(lambda: tried(outside, worker))]

    for found in behind(work):
        # What it names is none of the worker's threads, or no control there: the first filter, or the kernel, says so.
        assert found.pop("tgkill, own group") == "ESRCH"
        assert found.pop("FIOSETOWN") == found.pop("SIOCSPGRP") == "ENOTTY"
        assert set(found.values()) == {"EPERM"}, found


@_here
def test_without_it_a_signal_would_leave(outside: int) -> None:
    """So it is this filter that keeps it in; signal 0 does no harm."""

    def child() -> None:
        walls.confine_files(read=["/"], write=[], scoped=False)
        install(worker_filter(supervised=()))
        os.kill(outside, 0)

    forked(child)


@_here
def test_a_worker_signals_itself_its_threads_and_its_group() -> None:
    """As runtimes do; a group holds the processes that it started, and those can be ended together."""

    def work() -> tuple[list[int], int]:
        heard: list[int] = []
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
            signal.signal(number, lambda number, _frame: heard.append(number))
        os.kill(os.getpid(), signal.SIGUSR1)
        ended = threading.Event()
        thread = threading.Thread(target=ended.wait)
        thread.start()
        signal.pthread_kill(thread.ident or 0, signal.SIGUSR2)
        ended.set()
        thread.join()
        reading, writing = os.pipe()
        started = os.fork()
        if started == 0:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            os.write(writing, b".")
            signal.pause()
        os.read(reading, 1)
        os.killpg(0, signal.SIGHUP)
        return heard, os.waitstatus_to_exitcode(os.waitpid(started, 0)[1])

    assert behind(work) == ([signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP], -signal.SIGHUP)


@_here
def test_a_worker_can_not_signal_what_it_started_by_its_number() -> None:
    """The price of it: `terminate` fails. Nor does anybody get out of the session, to a number that is given anew."""

    def work() -> dict[str, str | None]:
        with subprocess.Popen(["/bin/sleep", "0.3"]) as process:
            return errors(
                {
                    "terminate": process.terminate,
                    "session": lambda: subprocess.run(["/bin/true"], start_new_session=True, check=False),
                }
            )

    assert behind(work) == {"terminate": "EPERM", "session": "EPERM"}


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's own")
def test_what_may_not_be_written_is_not_truncated(tmp_path: Path) -> None:
    """As behind a landlock that doesn't know of it; what is written truncates as ever."""
    kept = tmp_path / "kept"
    kept.write_text("text")
    new = tmp_path / "new"
    new.write_text("text")

    def child() -> dict[str, str | None]:
        install(stand_in_filter(os.getpid(), truncation=True))
        install(worker_filter(supervised=()))
        return errors(
            {
                "truncate": lambda: os.truncate(kept, 0),
                "mode 0": lambda: os.open(kept, os.O_RDONLY | os.O_TRUNC),
                "mode 3": lambda: os.open(kept, 3 | os.O_TRUNC),
                "openat2": lambda: called("openat2", 0, 0, 0, 0),
                "written": lambda: new.write_text(""),
            }
        )

    refusals = {"truncate": "EACCES", "mode 0": "EACCES", "mode 3": "EACCES", "openat2": "ENOSYS"}
    assert forked(child) == {**refusals, "written": None}
    assert (kept.read_text(), new.read_text()) == ("text", "")
