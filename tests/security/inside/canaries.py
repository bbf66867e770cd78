"""What a platform has that no function may reach: it counts every touch.

Listeners on every kind of address, datagram and unix sockets, a file, a secret in the environment and one in memory, a
signal that does no harm.
"""

import asyncio
import ctypes
import os
import secrets
import signal
import socket
from collections import Counter
from pathlib import Path
from typing import Any

_LONG_AGO = 1_000_000_000


class Canaries:
    """The canaries of one platform. `start` before the first attack, `close` after the last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._touched: Counter[str] = Counter()
        self._sockets: list[socket.socket] = []
        self._ports: list[int] = []
        self._udp = 0
        self._file = folder / "data" / "cloudserve.db"
        self._secrets = {name: _secret(name) for name in ("environment", "memory", "file")}
        self._memory = ctypes.create_string_buffer(self._secrets["memory"].encode(), 64)
        self._abstract = f"@cloudserve-{secrets.token_hex(4)}"

    async def start(self) -> None:
        """Lays everything out."""
        loop = asyncio.get_running_loop()
        # What a process was started with shows in /proc/PID/environ, so this platform's starter has put a secret there
        self._secrets["environment"] = os.environ["CLOUDSERVE_CANARY"]
        self._nice = os.getpriority(os.PRIO_PROCESS, 0)
        self.reset()
        loop.add_signal_handler(signal.SIGURG, lambda: self._touched.update(["signal"]))
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, ""), (socket.AF_INET6, "::")):
            sock = socket.socket(family, socket.SOCK_STREAM)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((address, self._ports[-1]))  # as a server that listens everywhere does
            else:
                sock.bind((address, 0))
                self._ports.append(sock.getsockname()[1])
            self._listen(sock, f"tcp {address or '0.0.0.0'}")
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(("", 0))
        self._udp = datagrams.getsockname()[1]
        self._receive(datagrams, "udp")
        for kind, name in self._unix():
            sock = socket.socket(socket.AF_UNIX, kind)
            sock.bind(name.replace("@", "\0", 1))
            if not name.startswith("@"):
                Path(name).chmod(0o777)
            if kind == socket.SOCK_DGRAM:
                self._receive(sock, f"unix {name}")
            else:
                self._listen(sock, f"unix {name}")

    def reset(self) -> None:
        """Forgets every touch and puts right what was changed."""
        self._touched.clear()
        self._memory.value = self._secrets["memory"].encode()
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(self._secrets["file"])
        self._file.chmod(0o600)
        os.utime(self._file, (_LONG_AGO, _LONG_AGO))
        if os.getpriority(os.PRIO_PROCESS, 0) != self._nice:
            os.setpriority(os.PRIO_PROCESS, 0, self._nice)

    def close(self) -> None:
        """Takes everything away."""
        loop = asyncio.get_running_loop()
        loop.remove_signal_handler(signal.SIGURG)
        for sock in self._sockets:
            loop.remove_reader(sock)
            sock.close()

    def places(self) -> dict[str, Any]:
        """Tells where they are, which an attacker may well know."""
        return {
            "ports": self._ports,
            "udp": self._udp,
            "unix": [[int(kind), name] for kind, name in self._unix()],
            "address": ctypes.addressof(self._memory),
            "file": str(self._file),
            "secrets": self._secrets,
        }

    def counts(self) -> dict[str, Any]:
        """Tells what was touched, and whether anything was changed."""
        spoiled = []
        if self._memory.value.decode() != self._secrets["memory"]:
            spoiled.append("memory")
        try:
            status = self._file.stat()
            if (status.st_mode & 0o777, int(status.st_mtime)) != (0o600, _LONG_AGO):
                spoiled.append("what is known of the file")
            if self._file.read_text() != self._secrets["file"]:
                spoiled.append("file")
        except OSError:
            spoiled.append("file")
        if os.getpriority(os.PRIO_PROCESS, 0) != self._nice:
            spoiled.append("priority")
        others = [path.name for path in self._file.parent.iterdir() if path != self._file]
        return {"touched": dict(self._touched), "spoiled": spoiled + others}

    def _unix(self) -> list[tuple[socket.SocketKind, str]]:
        stream, datagram = socket.SOCK_STREAM, socket.SOCK_DGRAM
        folder = self._folder
        return [
            (stream, f"{folder}/stream.sock"),
            (datagram, f"{folder}/datagram.sock"),
            (stream, f"{self._abstract}-stream"),
            (datagram, f"{self._abstract}-datagram"),
        ]

    def _listen(self, sock: socket.socket, name: str) -> None:
        sock.listen(128)
        sock.setblocking(False)
        self._sockets.append(sock)

        def take() -> None:
            connection, _ = sock.accept()
            self._touched[name] += 1
            connection.close()

        asyncio.get_running_loop().add_reader(sock, take)

    def _receive(self, sock: socket.socket, name: str) -> None:
        sock.setblocking(False)
        self._sockets.append(sock)

        def take() -> None:
            sock.recv(2048)
            self._touched[name] += 1

        asyncio.get_running_loop().add_reader(sock, take)


def _secret(name: str) -> str:
    return f"CANARY-{name}-{secrets.token_hex(16)}"
