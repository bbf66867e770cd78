"""Servers on loopback addresses, each in a thread of the test."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Talk = Callable[[socket.socket], None]


def hello(connection: socket.socket) -> None:
    """Says hello and hangs up."""
    connection.sendall(b"hello")


@contextmanager
def serving(talk: Talk = hello, host: str = "127.0.0.1") -> Iterator[int]:
    """Yields the port of a server that talks to every connection in a thread of its own."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.create_server((host, 0), family=family, backlog=128)
    stopping = threading.Event()

    def converse(connection: socket.socket) -> None:
        with connection:
            try:
                talk(connection)
            except OSError:
                return

    def accept() -> None:
        while True:
            connection, _ = server.accept()
            if stopping.is_set():
                connection.close()
                return
            threading.Thread(target=converse, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    port = server.getsockname()[1]
    try:
        yield port
    finally:
        stopping.set()
        socket.create_connection((host, port)).close()
        thread.join()
        server.close()
