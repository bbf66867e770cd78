"""Attacks on the network: addresses that are closed to functions, by whatever way, and sockets of other kinds.

A refused connection fails with EACCES (or with ENOSYS, where nobody is there to allow any). Every other outcome counts
as got: a time-out, say, means that the attempt left the host.
"""

import contextlib
import ctypes
import errno
import os
import random
import signal
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

from kit import Report, libc, system_call

_PATIENCE = 0.5
_REFUSALS = {errno.EACCES, errno.EPERM, errno.ENOSYS}
_MSG_FASTOPEN = 0x20000000
_RACES = 1000

_PRIVATE = (
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "192.0.0.192",
    "168.63.129.16",
    "100.100.100.200",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "fe80::1",
    "fc00::1",
    "fd00:ec2::254",
    "fec0::1",
    "ff02::1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::1",
)
_LOOPBACK = (
    "127.0.0.1",
    "127.1",
    "127.255.255.254",
    "0.0.0.0",
    "0",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "localhost",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:0.0.0.0",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::1",
)


def loopback(report: Report, targets: dict[str, Any]) -> None:
    """Connects to the services of the host, however their address is written."""
    for address in (*_LOOPBACK, *targets["own_addresses"]):
        for port in targets["ports"]:
            report.attempt(f"connect to {address} {port}", lambda address=address, port=port: _connect(address, port))
    for address in ("127.0.0.1", "[::1]", "2130706433", "0x7f.1", "017700000001", "localhost"):
        url = f"http://{address}:{targets['ports'][0]}/"
        report.attempt(f"get {url}", lambda url=url: _get(url))


def private_addresses(report: Report, targets: dict[str, Any]) -> None:
    """Connects to private, link-local and metadata addresses."""
    del targets
    for address in _PRIVATE:
        report.attempt(f"connect to {address}", lambda address=address: _connect(address, 80))
    report.attempt("get the metadata", lambda: _get("http://169.254.169.254/latest/meta-data/"))
    report.attempt("get the metadata in another form", lambda: _get("http://2852039166/"))


def rebinding(report: Report, targets: dict[str, Any]) -> None:
    """Reaches a closed address through one that is open: a redirect, or a name that changes its mind."""
    for target in targets["closed"]:
        url = f"{targets['redirect']}{target}"
        report.attempt(f"follow {url}", lambda url=url: _get(url))
    for name in targets["names"]:
        for port in targets["ports"]:
            report.attempt(f"a name that changes, {name}:{port}", lambda name=name, port=port: _try_often(name, port))


def races(report: Report, targets: dict[str, Any]) -> None:
    """Rewrites the address, or swaps the descriptor, while connect runs."""
    opened = socket.inet_aton(targets["open"][0]), targets["open"][1]
    for port in targets["ports"]:
        shut = socket.inet_aton("127.0.0.1"), port
        report.attempt(f"rewrite the address to {port}", lambda shut=shut: _race(opened, shut))
        report.attempt(f"swap the descriptor, {port}", lambda shut=shut: _race_descriptors(opened, shut))


def nonsense(report: Report, targets: dict[str, Any]) -> None:
    """Tries to bring down what decides about connections: impossible addresses, garbled questions, no patience."""
    report.attempt("impossible addresses", _impossible_addresses)
    report.attempt("garbled questions", lambda: _garbled_questions(targets["open"][0]))
    report.attempt("no patience", lambda: _no_patience(tuple(targets["open"])))


def datagrams(report: Report, targets: dict[str, Any]) -> None:
    """Goes around connect."""
    for host, port in (("127.0.0.1", targets["udp"]), (targets["open"][0], 9), ("169.254.169.254", 80)):
        place = (host, port)
        report.attempt(f"sendto {place}", lambda place=place: _datagram().sendto(b"x", place))
        report.attempt(f"sendmsg {place}", lambda place=place: _datagram().sendmsg([b"x"], [], 0, place))
        report.attempt(f"sendmmsg {place}", lambda place=place: _sendmmsg(place))
        report.attempt(f"connected datagram {place}", lambda place=place: _connected_datagram(place))
    for port in targets["ports"]:
        place = ("127.0.0.1", port)
        report.attempt(f"fast open sendto {port}", lambda p=place: _stream().sendto(b"x", _MSG_FASTOPEN, p))
        report.attempt(f"fast open sendmsg {port}", lambda p=place: _stream().sendmsg([b"x"], [], _MSG_FASTOPEN, p))
        report.attempt(f"plain sendto {port}", lambda p=place: _stream().sendto(b"x", p))
        report.attempt(f"fast open connect {port}", lambda p=place: _fast_open_connect(p))
        report.attempt(f"again after a disconnect {port}", lambda p=place: _again(tuple(targets["open"]), p))
        report.attempt(f"another protocol {port}", lambda p=place: _connected(socket.socket(2, 1, 262), p))
    route = b"\x83\x07\x04\x7f\x00\x00\x01\x00"
    report.attempt("IP_OPTIONS", lambda: _stream().setsockopt(0, 4, route) or "set")
    report.attempt("IP_OPTIONS with high bits", lambda: _set_option(1 << 32, 4, route))
    report.attempt("SO_BINDTODEVICE", lambda: _stream().setsockopt(1, 25, b"lo\0") or "set")
    report.attempt("IPV6_RTHDR", lambda: socket.socket(10, 1).setsockopt(41, 57, bytes(24)) or "set")
    report.attempt("IP_TRANSPARENT", lambda: _stream().setsockopt(0, 19, 1) or "set")
    report.attempt("TCP_REPAIR", lambda: _stream().setsockopt(6, 19, 1) or "set")
    report.attempt("SO_MARK", lambda: _stream().setsockopt(1, 36, 7) or "set")
    report.attempt("SO_ATTACH_FILTER", lambda: _attach_filter())


def sockets(report: Report, targets: dict[str, Any]) -> None:
    """Opens sockets of every family and kind, and unix sockets of the host's."""
    for family in (*range(1, 50), 1 << 32 | 16):
        for kind in (1, 2, 3, 4, 5, 6, 10):
            if family in (2, 10) and kind == 1:
                continue  # what a function may have: TCP
            name = f"socket {family} {kind}"
            report.attempt(name, lambda family=family, kind=kind: f"got {system_call(_SOCKET, family, kind, 0)}")
    for protocol in (1, 2, 6, 17, 47, 132, 136, 255):
        report.attempt(f"raw {protocol}", lambda protocol=protocol: f"got {socket.socket(2, 3, protocol).fileno()}")
    for kind, path in targets["unix"]:
        address = path.replace("@", "\0", 1)
        report.attempt(
            f"connect to {path}", lambda kind=kind, a=address: socket.socket(1, kind).connect(a) or "connected"
        )
        for pair in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
            report.attempt(f"a pair's end {pair} to {path}", lambda pair=pair, a=address: _from_pair(pair, a))
    report.attempt("a name of its own", lambda: socket.socket(1, 1).bind("\0intruder") or "bound")
    report.attempt("a name for a pair's end", lambda: _bind_pair())


def listening(report: Report, targets: dict[str, Any]) -> None:
    """Takes connections."""
    del targets
    for family, address in ((2, "0.0.0.0"), (2, "127.0.0.1"), (10, "::"), (10, "::1")):
        report.attempt(f"listen on {address}", lambda family=family, address=address: _listen(family, address))
    report.attempt("listen without a bind", lambda: _stream().listen() or "listens")


_INTEL = os.uname().machine == "x86_64"
_SOCKET = 41 if _INTEL else 198
_CONNECT = 42 if _INTEL else 203


def _stream() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def _datagram() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def _let_out(action: Callable[[], Any]) -> str:
    try:
        action()
    except OSError as error:
        if error.errno in _REFUSALS:
            raise
        return f"let out: {error}"
    return "connected"


def _connect(address: str, port: int) -> str:
    family, _, _, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(_PATIENCE)
        return _let_out(lambda: sock.connect(place))


def _connected(sock: socket.socket, place: tuple[str, int]) -> str:
    sock.settimeout(_PATIENCE)
    return _let_out(lambda: sock.connect(place))


def _get(url: str) -> str | None:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return f"{answer.status} {answer.read(200)!r}"
    except urllib.error.URLError as error:
        cause = error.reason
        if isinstance(cause, socket.gaierror) or (isinstance(cause, OSError) and cause.errno in _REFUSALS):
            raise cause from None
        return f"let out: {cause}"


def _try_often(name: str, port: int) -> str:
    """Looks the name up once for the eye and once for the hand, as a client that checks addresses does."""
    for _ in range(20):
        try:
            socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
            with socket.create_connection((name, port), timeout=_PATIENCE):
                return "connected"
        except socket.gaierror:
            continue
        except OSError as error:
            # The open address of a name may well refuse a port that is a closed one's
            if error.errno not in {*_REFUSALS, errno.ECONNREFUSED}:
                return f"let out: {error}"
    raise PermissionError(errno.EACCES, "not once connected")


def _pack(address: tuple[bytes, int]) -> bytes:
    return struct.pack("=H", socket.AF_INET) + struct.pack(">H", address[1]) + address[0] + bytes(8)


def _race(opened: tuple[bytes, int], shut: tuple[bytes, int]) -> None:
    """The target's listener counts what gets through; nothing is claimed here."""
    place = ctypes.create_string_buffer(16)
    texts = _pack(opened), _pack(shut)
    over = threading.Event()

    def flip() -> None:
        while not over.is_set():
            for text in texts:
                ctypes.memmove(place, text, 16)

    threads = [threading.Thread(target=flip) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(_RACES):
            sock = _stream()
            sock.setblocking(False)
            libc.connect(sock.fileno(), place, 16)
            sock.close()
    finally:
        over.set()


def _race_descriptors(opened: tuple[bytes, int], shut: tuple[bytes, int]) -> None:
    place = socket.inet_ntoa(opened[0]), opened[1]
    over = threading.Event()
    number = _stream().detach()

    def swap() -> None:
        while not over.is_set():
            sock = _stream()
            sock.setblocking(False)
            os.dup2(sock.fileno(), number)
            sock.close()

    def connect() -> None:
        text = _pack(shut)
        while not over.is_set():
            libc.connect(number, text, 16)

    threads = [threading.Thread(target=job) for job in (swap, connect)]
    for thread in threads:
        thread.start()
    try:
        text = _pack((socket.inet_aton(place[0]), place[1]))
        for _ in range(_RACES // 3):
            libc.connect(number, text, 16)
    finally:
        over.set()


def _impossible_addresses() -> None:
    pattern = random.Random(7)
    text = ctypes.create_string_buffer(256)
    places: list[Any] = [0, 1, 1 << 12, (1 << 47) - 1, 1 << 47, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, text]
    lengths = [0, 1, 2, 3, 15, 16, 17, 23, 24, 28, 127, 128, 129, 4096, 1 << 31, (1 << 32) + 16, (1 << 64) - 1]
    with _stream() as sock:
        sock.setblocking(False)
        for place in places:
            for length in lengths:
                for descriptor in (sock.fileno(), -1, 1 << 20, 0, 1, 1 << 40):
                    text.raw = pattern.randbytes(256)
                    where = place if place is text else ctypes.c_ulong(place)
                    libc.syscall(ctypes.c_long(_CONNECT), ctypes.c_ulong(descriptor), where, ctypes.c_ulong(length))
        for family in range(256):
            text.raw = struct.pack("=H", family) + pattern.randbytes(254)
            libc.syscall(ctypes.c_long(_CONNECT), ctypes.c_ulong(sock.fileno()), text, ctypes.c_ulong(28))


def _garbled_questions(resolver: str) -> None:
    pattern = random.Random(7)
    head = struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0)
    questions = [
        b"",
        b"\0",
        head,
        head + b"\x3f",
        head + b"\xc0\x0c\0\1\0\1",
        head + b"\x01\xff\xff\0\1\0\1",
        head + b"\0\0\1\0\1",
        head + b"\x3f" + b"x" * 63 + b"\0\0\1\0\1",
        struct.pack(">6H", 7, 0x0100, 65535, 65535, 65535, 65535) + b"\4open\4test\0\0\1\0\1",
        *(pattern.randbytes(size) for size in range(1, 300, 7)),
        *(head + pattern.randbytes(size) for size in range(1, 300, 7)),
    ]
    for question in questions:
        with contextlib.suppress(OSError), socket.create_connection((resolver, 53), timeout=_PATIENCE) as sock:
            sock.sendall(struct.pack(">H", len(question)) + question)
            sock.settimeout(0.02)
            sock.recv(4096)


def _no_patience(place: tuple[str, int]) -> None:
    """Leaves calls that are being answered, by signals and by ending."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    for _ in range(30):
        if (pid := os.fork()) == 0:
            signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
            while True:
                with contextlib.suppress(OSError), _stream() as sock:
                    sock.connect(place)
        time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _sendmmsg(place: tuple[str, int]) -> str:
    name = ctypes.create_string_buffer(_pack((socket.inet_aton(place[0]), place[1])), 16)
    data = ctypes.create_string_buffer(b"x", 1)
    vector = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(data), 1), 16)
    head = struct.pack("=QI4xQQQQI4x", ctypes.addressof(name), 16, ctypes.addressof(vector), 1, 0, 0, 0)
    message = ctypes.create_string_buffer(head + bytes(8), len(head) + 8)
    with _datagram() as sock:
        return f"sent {system_call('sendmmsg', sock.fileno(), message, 1, 0)}"


def _connected_datagram(place: tuple[str, int]) -> str:
    with _datagram() as sock:
        sock.connect(place)
        return f"sent {sock.send(b'x')}"


def _fast_open_connect(place: tuple[str, int]) -> str:
    with _stream() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, 30, 1)
        return _connected(sock, place)


def _again(opened: tuple[str, int], place: tuple[str, int]) -> str:
    with _stream() as sock:
        sock.settimeout(_PATIENCE)
        sock.connect(opened)
        libc.connect(sock.fileno(), bytes(16), 16)
        return _connected(sock, place)


def _set_option(level: int, option: int, value: bytes) -> str:
    with _stream() as sock:
        set_option = 54 if os.uname().machine == "x86_64" else 208
        return f"returned {system_call(set_option, sock.fileno(), level, option, value, len(value))}"


def _attach_filter() -> str:
    program = ctypes.create_string_buffer(struct.pack("<HBBI", 0x06, 0, 0, 0xFFFFFFFF), 8)
    with _stream() as sock:
        sock.setsockopt(1, 26, struct.pack("@HxxxxxxP", 1, ctypes.addressof(program)))
    return "attached"


def _from_pair(kind: int, address: str) -> Any:
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    with ours, theirs:
        refused: list[str] = []
        for action in _ways(ours, address):
            try:
                if action() is not None:
                    return "sent"
            except OSError as error:
                refused.append(str(error))
        raise PermissionError(errno.EACCES, "; ".join(refused))


def _ways(ours: socket.socket, address: str) -> Iterator[Callable[[], Any]]:
    is_stream = ours.type != socket.SOCK_DGRAM  # a connected stream ignores the address it is told
    if not is_stream:
        yield lambda: ours.sendto(b"x", address)
        yield lambda: ours.sendmsg([b"x"], [], 0, address)
    yield lambda: ours.connect(address) or "connected"
    if not is_stream:
        yield lambda: libc.connect(ours.fileno(), bytes(2), 2) or ours.connect(address) or "connected"


def _bind_pair() -> str:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.bind("\0intruder")
        return "bound"


def _listen(family: int, address: str) -> str:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.bind((address, 0))
        sock.listen()
        return f"listens on {sock.getsockname()}"
