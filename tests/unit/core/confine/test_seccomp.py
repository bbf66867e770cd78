"""The filter of system calls: what a program needs is allowed, all else is refused in words a C library understands."""

import ctypes
import errno
import fcntl
import mmap
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloudserve.core.confine.numbers import ARCHITECTURES, always, by_argument
from cloudserve.core.confine.seccomp import install, worker_filter
from tests.unit.core.confine.forked import forked
from tests.unit.core.confine.interpreter import verdict

ALLOWED = 0x7FFF0000
NOTIFIED = 0x7FC00000
KILLED = 0x80000000

_FREE = worker_filter(supervised=(), architecture="x86_64")
_SUPERVISED = worker_filter(supervised=("socket", "connect"), architecture="x86_64")
_CALLS = {**always("x86_64"), **by_argument("x86_64")}

_here = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's own")


def refused(error: int) -> int:
    """Returns the verdict that fails a call with an error."""
    return 0x00050000 | error


def said(name: str, *arguments: int, program: bytes = _FREE) -> int:
    """Returns what the filter says to a call of x86_64."""
    return verdict(program, _CALLS[name], *arguments)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_everything_on_the_list_is_allowed_and_all_else_refused(architecture: str) -> None:
    """For every number there is: listed, argued about, EPERM, or ENOSYS where this kernel may not have it either."""
    program = worker_filter(supervised=(), architecture=architecture)
    listed, argued = set(always(architecture).values()), set(by_argument(architecture).values())
    assert not listed & argued
    for number in (*range(600), 2**30, 2**30 + 41, 2**31, 2**32 - 1):
        what = verdict(program, number, architecture=ARCHITECTURES[architecture])
        if number in listed:
            assert what == ALLOWED
        elif number not in argued:
            assert what == refused(errno.EPERM if number <= 452 else errno.ENOSYS)


@pytest.mark.parametrize("architecture", [0x40000003, 0xC00000B7, 0])
def test_a_call_by_another_instruction_set_ends_the_process(architecture: int) -> None:
    """Its numbers mean other calls: those of 32-bit programs on a 64-bit kernel above all."""
    assert verdict(_FREE, 0, architecture=architecture) == KILLED


def test_the_two_machines_have_the_same_list() -> None:
    """But for the calls that aarch64 never had."""
    extra = set(always("x86_64")) - set(always("aarch64"))
    assert set(always("aarch64")) <= set(always("x86_64"))
    assert {"open", "stat", "fork", "epoll_wait", "arch_prctl"} <= extra
    assert not {"read", "openat", "execve", "futex", "epoll_pwait"} & extra


def test_threads_and_forks_are_allowed_and_namespaces_are_not() -> None:
    """`clone` by its flags; `clone3` keeps its own in memory, so C libraries are sent back to `clone`."""
    thread, fork = 0x3D0F00, 0x1200011
    assert said("clone", thread) == said("clone", fork) == ALLOWED
    for bit in (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert said("clone", fork | bit) == refused(errno.EPERM)
    assert said("clone3") == refused(errno.ENOSYS)


def test_sockets_are_tcp_over_ip() -> None:
    """By family, type and protocol; the flags beside the type mean nothing."""
    assert said("socket", socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) == ALLOWED
    assert said("socket", socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP) == ALLOWED
    for family in (0, socket.AF_UNIX, socket.AF_NETLINK, socket.AF_PACKET, 38, 40, 45):
        assert said("socket", family, socket.SOCK_STREAM) == refused(errno.EAFNOSUPPORT)
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET, 6, 10):
        assert said("socket", socket.AF_INET, kind) == refused(errno.EACCES)
    for protocol in (1, 132, 262):
        assert said("socket", socket.AF_INET, socket.SOCK_STREAM, protocol) == refused(errno.EPROTONOSUPPORT)


def test_the_supervisor_is_asked_what_it_supervises() -> None:
    """A socket that would be refused anyway is not asked about."""
    inet = (socket.AF_INET, socket.SOCK_STREAM)
    assert said("socket", *inet, program=_SUPERVISED) == said("connect", program=_SUPERVISED) == NOTIFIED
    assert said("socket", socket.AF_UNIX, 1, program=_SUPERVISED) == refused(errno.EAFNOSUPPORT)
    connect_alone = worker_filter(supervised=("connect",), architecture="x86_64")
    assert said("socket", *inet, program=connect_alone) == ALLOWED
    assert said("connect", program=connect_alone) == NOTIFIED
    assert said("connect") == ALLOWED


def test_pairs_of_sockets_are_streams_of_this_process() -> None:
    """A datagram pair could send to any socket with a name."""
    assert said("socketpair", socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) == ALLOWED
    assert said("socketpair", socket.AF_UNIX, socket.SOCK_SEQPACKET) == ALLOWED
    assert said("socketpair", socket.AF_UNIX, socket.SOCK_DGRAM) == refused(errno.EPROTONOSUPPORT)
    assert said("socketpair", socket.AF_INET, socket.SOCK_STREAM) == refused(errno.EAFNOSUPPORT)


def test_nothing_connects_while_it_sends() -> None:
    """MSG_FASTOPEN in any call that sends, and TCP_FASTOPEN_CONNECT."""
    fast_open, no_signal = 0x20000000, 0x4000
    for name, position in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)):
        before = [3, 0, 0][:position]
        assert said(name, *before, no_signal) == ALLOWED
        assert said(name, *before, no_signal | fast_open) == refused(errno.EOPNOTSUPP)
    assert said("setsockopt", 3, socket.IPPROTO_TCP, 30) == refused(errno.ENOPROTOOPT)


def test_options_tune_a_connection_and_lead_it_nowhere_else() -> None:
    """Source routes, routing headers, devices, marks, filters and upper-layer protocols are not there."""
    for level, name in (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        (socket.SOL_SOCKET, socket.SO_LINGER),
        (socket.SOL_SOCKET, socket.SO_REUSEADDR),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
        (socket.IPPROTO_IP, socket.IP_TOS),
        (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY),
    ):
        assert said("setsockopt", 3, level, name) == ALLOWED
    for level, name in (
        (socket.IPPROTO_IP, socket.IP_OPTIONS),
        (socket.IPPROTO_IP, socket.IP_TRANSPARENT),
        (socket.IPPROTO_IPV6, socket.IPV6_RTHDR),
        (socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS),
        (socket.IPPROTO_IPV6, 6),  # IPV6_2292PKTOPTIONS
        (socket.SOL_SOCKET, socket.SO_BINDTODEVICE),
        (socket.SOL_SOCKET, socket.SO_MARK),
        (socket.SOL_SOCKET, 26),  # SO_ATTACH_FILTER
        (socket.IPPROTO_TCP, 31),  # TCP_ULP
        (270, 1),  # SOL_NETLINK
    ):
        assert said("setsockopt", 3, level, name) == refused(errno.ENOPROTOOPT)


@pytest.mark.parametrize("request_code", [0x5412, 0x541C, 0x8912, 0x8914, 0x894C, 0x8901, 0x40049409])
def test_controls_of_devices_and_interfaces_are_not_there(request_code: int) -> None:
    """TIOCSTI, TIOCLINUX, and what tells of or changes interfaces; in the word that says "not on this file"."""
    assert said("ioctl", 0, request_code) == refused(errno.ENOTTY)
    assert said("ioctl", 0, 0x5421) == ALLOWED


def test_limits_and_priority_are_a_processs_own() -> None:
    """Another process of the same user is out of reach, where there are no process namespaces."""
    assert said("prlimit64", 0) == said("sched_setaffinity", 0) == said("setpriority", 0, 0) == ALLOWED
    for name, arguments in (("prlimit64", (77,)), ("sched_setaffinity", (77,)), ("setpriority", (0, 77))):
        assert said(name, *arguments) == refused(errno.EPERM)
    assert said("setpriority", 2, 0) == refused(errno.EPERM)


def test_a_process_can_neither_hide_nor_outlive_its_parent() -> None:
    """prctl names things; it takes back no death signal, makes nothing undumpable and adds no filter."""
    assert said("prctl", 15) == said("prctl", 1, signal.SIGKILL) == ALLOWED
    for arguments in ((1, 0), (1, signal.SIGTERM), (4, 0), (22, 2), (36, 1), (35, 1), (0x59616D61, 1)):
        assert said("prctl", *arguments) == refused(errno.EPERM)


def test_device_files_are_not_made() -> None:
    """A named pipe or an empty file is."""
    for name, position in (("mknod", 1), ("mknodat", 2)):
        before = [0] * position
        assert said(name, *before, 0o010644) == said(name, *before, 0o100644) == ALLOWED
        for kind in (0o020000, 0o060000, 0o140000):
            assert said(name, *before, kind | 0o666) == refused(errno.EPERM)


def test_no_signal_goes_to_another_by_way_of_a_file() -> None:
    """F_SETOWN and its kin."""
    assert said("fcntl", 3, fcntl.F_SETFL) == ALLOWED
    for command in (8, 10, 15):
        assert said("fcntl", 3, command) == refused(errno.EPERM)


def _errors(*attempts: Callable[[], Any]) -> list[int]:
    """Makes attempts and returns the error of each, 0 for none."""
    found = []
    for attempt in attempts:
        try:
            attempt()
            found.append(0)
        except OSError as error:
            found.append(error.errno or -1)
    return found


@_here
def test_a_real_process_is_held_by_it() -> None:
    """The kernel takes the program and refuses what it should."""

    def behind() -> list[int]:
        install(worker_filter(supervised=()))
        libc = ctypes.CDLL(None, use_errno=True)

        def called(number: int, *arguments: int) -> None:
            if libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)) < 0:
                raise OSError(ctypes.get_errno(), "refused")

        return _errors(
            lambda: socket.socket(socket.AF_UNIX),
            lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            lambda: socket.socket().bind(("127.0.0.1", 0)),
            lambda: socket.socket().listen(),
            lambda: socket.socket().setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\x83\x07\x04\x7f\0\0\1\0"),
            lambda: called(2**30 + 39),
            lambda: called(425, 8, 0),
            lambda: called(462, 0, 0, 0),
        )

    assert forked(behind) == [
        errno.EAFNOSUPPORT,
        errno.EACCES,
        errno.EPERM,
        errno.EPERM,
        errno.ENOPROTOOPT,
        errno.ENOSYS,
        errno.EPERM,
        errno.ENOSYS,
    ]


@_here
def test_python_works_behind_it(tmp_path: Path) -> None:
    """Files, threads, children, sub-processes, memory, time, pairs of sockets and an event loop."""

    def behind() -> list[str]:
        install(worker_filter(supervised=()))
        import asyncio
        import sqlite3
        import tempfile

        done = []
        (tmp_path / "a").write_text("text")
        shutil.copy2(tmp_path / "a", tmp_path / "b")
        os.mkfifo(tmp_path / "fifo")
        done.append((tmp_path / "b").read_text())
        thread = threading.Thread(target=lambda: done.append("thread"))
        thread.start()
        thread.join()
        done.append(subprocess.run(["/bin/echo", "-n", "child"], capture_output=True, check=True, text=True).stdout)
        with mmap.mmap(-1, 4096) as area:
            area[:4] = b"page"
            done.append(area[:4].decode())

        async def looped() -> str:
            process = await asyncio.create_subprocess_exec("/bin/true")
            ours, theirs = socket.socketpair()
            reader, _ = await asyncio.open_connection(sock=ours)
            theirs.sendall(b"loop")
            theirs.close()
            assert await process.wait() == 0
            return (await reader.read()).decode()

        done.append(asyncio.run(looped()))
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            database = sqlite3.connect(Path(folder) / "db")
            database.execute("create table t (x)")
            database.close()
        return done

    assert forked(behind) == ["text", "thread", "child", "page", "loop"]


@_here
def test_node_works_behind_it(tmp_path: Path) -> None:
    """V8, its threads, timers, files, compression, child processes and worker threads."""
    node = shutil.which("node")
    if node is None:
        pytest.fail("this test needs Node; install it, or leave the test out by -k")
    script = tmp_path / "main.mjs"
    script.write_text("""
        import {execFileSync} from 'node:child_process';
        import {copyFileSync, readFileSync, writeFileSync} from 'node:fs';
        import {Worker} from 'node:worker_threads';
        import {gzipSync, gunzipSync} from 'node:zlib';
        import {scryptSync} from 'node:crypto';
        writeFileSync('a', 'text'); copyFileSync('a', 'b');
        const said = [readFileSync('b', 'utf8'), execFileSync('/bin/echo', ['-n', 'child']).toString()];
        said.push(gunzipSync(gzipSync('zip')).toString(), scryptSync('a', 'b', 8).length);
        said.push(await new Promise((done) => new Worker(
            "require('worker_threads').parentPort.postMessage('thread')", {eval: true}).on('message', done)));
        said.push(await WebAssembly.validate(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])));
        console.log(JSON.stringify(said));
    """)

    def behind() -> str:
        os.chdir(tmp_path)
        install(worker_filter(supervised=()))
        done = subprocess.run([node, str(script)], capture_output=True, env={}, text=True, check=False)
        return done.stdout + done.stderr

    assert forked(behind).strip() == '["text","child","zip",8,"thread",true]'


@_here
def test_a_listener_is_returned_where_calls_are_supervised() -> None:
    """A descriptor that no program it runs inherits."""

    def behind() -> bool:
        listener = install(worker_filter(supervised=("connect",)), listener=True)
        return os.get_inheritable(listener)

    assert forked(behind) is False


def test_an_unknown_machine_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """And told what is known."""
    uname = os.uname()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((*uname[:4], "riscv64")))
    with pytest.raises(OSError, match="riscv64; the walls know x86_64, aarch64"):
        worker_filter(supervised=())
