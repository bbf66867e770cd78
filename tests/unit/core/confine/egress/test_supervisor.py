"""The supervisor: connections are made as if nobody stood between, refused ones fail with EACCES, and nobody waits."""

import asyncio
import contextlib
import ctypes
import errno
import fcntl
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudserve.core.confine.egress import threads
from cloudserve.core.confine.egress.policy import NO_EGRESS, Rules
from cloudserve.core.confine.egress.supervised import MAX_KEPT
from tests.unit.core.confine.egress.behind import WALLS, Behind, Walls
from tests.unit.core.confine.egress.servers import serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the supervisor is Linux's own")


@pytest.fixture(params=WALLS)
def behind(request: pytest.FixtureRequest) -> Iterator[Behind]:
    """A supervisor with workers of each tier; tier A needs root."""
    walls: Walls = request.param
    if walls == "A" and os.geteuid() != 0:
        walls = "B"
    with Behind(walls) as supervised:
        yield supervised


@pytest.fixture
def plain() -> Iterator[Behind]:
    """A supervisor where the tier makes no difference."""
    with Behind() as supervised:
        yield supervised


def _connect(host: str, port: int) -> bytes:
    with socket.create_connection((host, port), timeout=10) as sock:
        return sock.recv(100)


def _error(host: str, port: int) -> int:
    try:
        _connect(host, port)
    except OSError as error:
        return error.errno or -1
    return 0


def _descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_connections_are_made_in_every_way_a_client_makes_them(behind: Behind) -> None:
    """Waiting, with a time-out, without waiting, in an event loop; IPv4, IPv6 and IPv4 as IPv6."""

    def client() -> list[bytes]:
        said = [_connect("127.0.0.1", port), _connect("::1", port6)]
        with socket.socket() as waiting:
            waiting.connect(("127.0.0.1", port))
            said.append(waiting.recv(9))
        with socket.socket(socket.AF_INET6) as mapped:
            mapped.connect(("::ffff:127.0.0.1", port))
            said.append(mapped.recv(9))
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            select.select([], [sock], [])
            select.select([sock], [], [])
            said.append(sock.recv(9))

        async def looped() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            heard = await reader.read()
            writer.close()
            await writer.wait_closed()
            return heard

        return [*said, asyncio.run(looped())]

    with serving() as port, serving(host="::1") as port6:
        assert behind.run(client) == [b"hello"] * 6
    assert behind.refusals == []


def test_a_refused_connection_fails_with_eacces_and_is_told(behind: Behind) -> None:
    """The address, its kind and the remedy reach whoever asked to be told; nothing is reached."""
    addresses = [
        "10.0.0.5",
        "169.254.169.254",
        "192.168.1.1",
        "::ffff:10.0.0.5",
        "fd00::1",
        "64:ff9b::a00:5",
        "0.0.0.0",
    ]
    assert behind.run(lambda: [_error(address, 5432) for address in addresses]) == [errno.EACCES] * len(addresses)
    first = behind.refusals[0]
    assert (first.address, first.port, first.rule) == ("10.0.0.5", 5432, "private address")
    assert first.remedy == "`egress_allow` (cloudserve:egressAllow) in the platform's settings: 10.0.0.5:5432"
    assert [refusal.rule for refusal in behind.refusals[1:]] == [
        "metadata address",
        "private address",
        "private address",
        "private address",
        "private address",
        "unspecified address",
    ]


def test_nothing_is_reached_until_a_worker_is_allowed_something(behind: Behind) -> None:
    """And in mode `none` nothing is, whatever the platform permits."""
    behind.rules = NO_EGRESS
    with serving() as port:
        assert behind.run(lambda: _error("127.0.0.1", port)) == errno.EACCES
    assert behind.refusals[0].rule == "the function's egress is `none`"


def test_the_hosts_own_addresses_are_refused_even_where_they_are_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is asked whose an address is; here it says: ours."""
    with Behind(permitted=()) as behind:
        monkeypatch.setattr(behind.supervisor._routes, "is_own", lambda _: True)
        assert behind.run(lambda: _error("8.8.8.8", 80)) == errno.EACCES
    assert behind.refusals[0].rule == "the host's own address"


def test_errors_of_the_network_are_the_clients_own(behind: Behind) -> None:
    """Nobody listens; the descriptor is none, or no socket; the address is cut short or of another family."""

    def client() -> list[int]:
        libc = ctypes.CDLL(None, use_errno=True)

        def connect(descriptor: int, raw: bytes, length: int | None = None) -> int:
            found = libc.connect(descriptor, raw, len(raw) if length is None else length)
            return ctypes.get_errno() if found else 0

        here = struct.pack("=H", socket.AF_INET) + struct.pack(">H4s8x", closed, bytes((127, 0, 0, 1)))
        with socket.socket() as sock:
            number = sock.fileno()
            return [
                _error("127.0.0.1", closed),
                connect(number, here[:12]),
                connect(number, here + bytes(200)),
                connect(number, here, -1),
                connect(number, b"\x01\x00/tmp/socket"),
                connect(number, struct.pack("=H26x", socket.AF_INET6)[:20]),
                libc.connect(number, ctypes.c_void_p(8), 16) and ctypes.get_errno(),
            ]

    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
    refused, *others = behind.run(client)
    assert refused == errno.ECONNREFUSED
    assert others == [errno.EINVAL, errno.EINVAL, errno.EINVAL, errno.EAFNOSUPPORT, errno.EINVAL, errno.EFAULT]


def test_a_pair_of_sockets_connects_nowhere(behind: Behind) -> None:
    """Nor does a file or a closed descriptor."""

    def client() -> list[int]:
        libc = ctypes.CDLL(None, use_errno=True)
        here = struct.pack("=H", socket.AF_INET) + struct.pack(">H4s8x", port, bytes((127, 0, 0, 1)))
        ours, _theirs = socket.socketpair()
        with Path("/dev/null").open("rb") as file:
            return [libc.connect(number, here, 16) for number in (ours.fileno(), file.fileno(), 999)]

    with serving() as port:
        assert behind.run(client) == [-1, -1, -1]


def test_a_socket_keeps_what_its_owner_did_to_it(behind: Behind) -> None:
    """Options, duplicates and event registrations made before it is connected; its waiting stays as it was."""

    def client() -> list[object]:
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        duplicate = sock.dup()
        poll = select.epoll()
        sock.setblocking(False)
        poll.register(sock, select.EPOLLIN)
        sock.connect_ex(("127.0.0.1", port))
        readable = poll.poll(10)
        waiting = socket.socket()
        waiting.connect(("127.0.0.1", port))
        return [
            sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
            bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)),
            duplicate.getpeername()[1] == port,
            bool(readable[0][1] & select.EPOLLIN),
            bool(fcntl.fcntl(waiting, fcntl.F_GETFL) & os.O_NONBLOCK),
        ]

    with serving() as port:
        assert behind.run(client) == [1, True, True, True, False]


def test_a_connection_ends_when_its_owner_closes_it(behind: Behind) -> None:
    """The supervisor holds no duplicate of a connected socket."""
    ended = threading.Event()

    def talk(connection: socket.socket) -> None:
        if connection.recv(10) == b"":
            ended.set()

    def client() -> None:
        socket.create_connection(("127.0.0.1", port)).close()
        os.read(gone, 1)

    gone, go = os.pipe()
    with serving(talk) as port:
        read_end, pid = behind.start(client)
        while not ended.wait(0.01):
            behind.turn(seconds=0.01, may_be_idle=True)
        os.write(go, b"g")
        behind.result(read_end, pid)
    os.close(gone)
    os.close(go)


def test_a_connected_socket_is_connected(behind: Behind) -> None:
    """A second connect says so."""

    def client() -> list[int]:
        with socket.socket() as sock:
            sock.connect(("127.0.0.1", port))
            try:
                sock.connect(("127.0.0.1", port))
            except OSError as error:
                return [error.errno or -1]
        return [0]

    with serving() as port:
        assert behind.run(client) == [errno.EISCONN]


def test_a_socket_can_be_disconnected_and_connected_again() -> None:
    """By AF_UNSPEC, as connect(2) has it."""

    def client() -> list[bytes]:
        libc = ctypes.CDLL(None, use_errno=True)
        said = []
        with socket.socket() as sock:
            for _ in range(2):
                sock.connect(("127.0.0.1", port))
                said.append(sock.recv(9))
                assert libc.connect(sock.fileno(), bytes(16), 16) == 0
        return said

    with serving() as port, Behind("B") as behind:
        assert behind.run(client) == [b"hello"] * 2


def test_threads_and_children_connect_too(behind: Behind) -> None:
    """Twenty threads at once, and a forked child."""

    def client() -> list[bytes]:
        said: list[bytes] = []
        threads = [threading.Thread(target=lambda: said.append(_connect("127.0.0.1", port))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        read_end, write_end = os.pipe()
        if os.fork() == 0:
            os.write(write_end, _connect("127.0.0.1", port))
            os._exit(0)
        os.wait()
        return [*said, os.read(read_end, 9)]

    with serving() as port:
        assert behind.run(client) == [b"hello"] * 21


def test_an_address_rewritten_while_it_is_judged_reaches_nothing(behind: Behind) -> None:
    """Two threads turn an allowed address into a refused one and back, as fast as they can."""
    reached = threading.Event()

    def forbidden(_: socket.socket) -> None:
        reached.set()

    def client() -> int:
        libc = ctypes.CDLL(None, use_errno=True)
        raw = struct.pack("=H", socket.AF_INET) + struct.pack(">H4s8x", port, bytes((127, 0, 0, 1)))
        address = ctypes.create_string_buffer(raw, 16)
        stop = threading.Event()

        def rewrite() -> None:
            while not stop.is_set():
                address[7] = b"\x02"
                address[7] = b"\x01"
                address[2:4] = struct.pack(">H", wrong)
                address[2:4] = struct.pack(">H", port)

        threads = [threading.Thread(target=rewrite) for _ in range(2)]
        for thread in threads:
            thread.start()
        made = 0
        for _ in range(100):
            sock = socket.socket()
            made += libc.connect(sock.fileno(), address, 16) == 0
            sock.close()
        stop.set()
        for thread in threads:
            thread.join()
        return made

    with serving() as port, serving(forbidden) as wrong:
        behind.rules = Rules.parse("list", [f"127.0.0.1:{port}"])
        assert behind.run(client) > 0
    assert not reached.is_set()


def test_a_thread_called_away_by_a_signal_harms_nobody(behind: Behind) -> None:
    """Its connection is taken up again, however often a signal interrupts it."""

    def client() -> int:
        signal.signal(signal.SIGUSR1, lambda *_: None)
        signal.siginterrupt(signal.SIGUSR1, False)
        stop = threading.Event()

        def disturb() -> None:
            while not stop.is_set():
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
                time.sleep(0.0002)

        thread = threading.Thread(target=disturb)
        thread.start()
        heard = 0
        try:
            for _ in range(100):
                heard += _connect("127.0.0.1", port) == b"hello"
        finally:
            stop.set()
            thread.join()
        return heard

    with serving() as port:
        assert behind.run(client) == 100


@contextlib.contextmanager
def _full_server() -> Iterator[int]:
    """Yields the port of a server whose backlog is full, so that a connection to it stays under way."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        waiting = []
        for _ in range(4):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(("127.0.0.1", port))
        try:
            yield port
        finally:
            for sock in waiting:
                sock.close()


def test_a_connection_under_way_keeps_nobody_else_waiting(plain: Behind) -> None:
    """One worker's thread waits for a silent server; another worker connects meanwhile."""

    def patient() -> None:
        with socket.socket() as sock:
            sock.connect(("127.0.0.1", silent))

    with serving() as port, _full_server() as silent:
        read_end, pid = plain.start(patient)
        while not any(worker.connecting for worker in plain.supervisor._workers.values()):
            plain.turn()
        assert plain.run(lambda: _connect("127.0.0.1", port)) == b"hello"
        os.kill(pid, signal.SIGKILL)
        plain.serve_until_read(read_end)
        os.waitpid(pid, 0)


def test_nothing_is_kept_for_workers_that_have_ended(behind: Behind) -> None:
    """Killed while they connect, with sockets made and not used, with queries open: no descriptor is left."""

    def busy() -> None:
        unused = [socket.socket() for _ in range(MAX_KEPT + 10)]
        unused[-1].connect(("127.0.0.1", silent))

    with _full_server() as silent:
        before = _descriptors()
        read_end, pid = behind.start(busy)
        while not any(worker.connecting for worker in behind.supervisor._workers.values()):
            behind.turn()
        assert all(len(worker.kept) <= MAX_KEPT for worker in behind.supervisor._workers.values())
        os.kill(pid, signal.SIGKILL)
        behind.serve_until_read(read_end)
        os.waitpid(pid, 0)
        while behind.supervisor._workers:
            behind.turn()
        assert _descriptors() == before


def test_tampering_with_a_socket_stalls_nobody(plain: Behind) -> None:
    """One worker takes O_NONBLOCK away as fast as it can while it connects to a silent server; another connects."""

    def hostile() -> None:
        sock = socket.socket()
        sock.setblocking(False)
        flags = fcntl.fcntl(sock, fcntl.F_GETFL)

        def toggle() -> None:
            while True:
                fcntl.fcntl(sock, fcntl.F_SETFL, flags & ~os.O_NONBLOCK)
                fcntl.fcntl(sock, fcntl.F_SETFL, flags)

        for _ in range(4):
            threading.Thread(target=toggle, daemon=True).start()
        libc = ctypes.CDLL(None, use_errno=True)
        there = struct.pack("=H", socket.AF_INET) + struct.pack(">H4s8x", silent, bytes((127, 0, 0, 1)))
        nowhere = bytes(16)
        while True:
            libc.connect(sock.fileno(), there, 16)
            libc.connect(sock.fileno(), nowhere, 16)

    with serving() as port, _full_server() as silent:
        read_end, pid = plain.start(hostile)
        for _ in range(20):
            assert plain.run(lambda: _connect("127.0.0.1", port)) == b"hello"
        os.kill(pid, signal.SIGKILL)
        plain.serve_until_read(read_end)
        os.waitpid(pid, 0)


def test_a_flood_of_calls_takes_no_more_than_a_share_of_the_supervisors_time(plain: Behind) -> None:
    """And costs others nothing; what is refused is told at a bounded rate."""

    def flood() -> None:
        libc = ctypes.CDLL(None)
        there = struct.pack("=H", socket.AF_INET) + struct.pack(">H4s8x", 80, bytes((10, 0, 0, 1)))
        while True:
            libc.connect(0, there, 16)

    with serving() as port:
        read_end, pid = plain.start(flood)
        flooding = plain.supervisor._workers[1]
        while flooding.time._left >= 0:
            plain.turn()
        assert plain.run(lambda: [_connect("127.0.0.1", port) for _ in range(20)]) == [b"hello"] * 20
        os.kill(pid, signal.SIGKILL)
        plain.serve_until_read(read_end)
        os.waitpid(pid, 0)
    assert len(plain.refusals) < 100


def test_when_the_supervisor_is_gone_every_call_fails(behind: Behind) -> None:
    """Closed, or dead: nothing is let through."""

    def client() -> list[int]:
        first = _error("127.0.0.1", port)
        os.write(ready, b"r")
        os.read(gone, 1)
        return [first, _error("127.0.0.1", port)]

    (gone, go), (done, ready) = os.pipe(), os.pipe()
    with serving() as port:
        read_end, pid = behind.start(client)
        while done not in behind.turn(done):
            pass
        behind.supervisor._forget(behind.supervisor._workers[1])
        os.write(go, b"g")
        assert behind.result(read_end, pid) == [0, errno.ENOSYS]
    for descriptor in (gone, go, done, ready):
        os.close(descriptor)


def test_an_older_kernel_has_no_descriptors_of_threads(plain: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Linux 6.9 the descriptor of a thread's process serves as well."""
    real = os.pidfd_open

    def older(pid: int, flags: int = 0) -> int:
        if flags:
            raise OSError(errno.EINVAL, "no such flag")
        return real(pid)

    def client() -> list[bytes]:
        said = [_connect("127.0.0.1", port)]
        thread = threading.Thread(target=lambda: said.append(_connect("127.0.0.1", port)))
        thread.start()
        thread.join()
        return said

    monkeypatch.setattr(os, "pidfd_open", older)
    with serving() as port:
        assert plain.run(client) == [b"hello"] * 2


def test_memory_is_read_by_file_where_a_container_refuses_the_call(
    plain: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older container engines refuse process_vm_readv(2)."""

    def refused(_name: str, *_arguments: object) -> int:
        raise OSError(errno.EPERM, "refused")

    monkeypatch.setattr(threads, "syscall", refused)
    with serving() as port:
        assert plain.run(lambda: [_connect("127.0.0.1", port), _error("10.0.0.1", 80)]) == [b"hello", errno.EACCES]
