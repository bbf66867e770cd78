"""Servers that speak as much of a database's protocol as its client needs to connect and ask one thing."""

import socket
import struct
from collections.abc import Iterator
from typing import Any

import bson


def redis(connection: socket.socket) -> None:
    """RESP: says PONG, and OK to all else; knows no HELLO, like servers before Redis 6."""
    with connection.makefile("rwb") as stream:
        while line := stream.readline():
            words = []
            for _ in range(int(line[1:])):
                size = int(stream.readline()[1:])
                words.append(stream.read(size + 2)[:-2].upper())
            said = {b"PING": b"+PONG\r\n", b"HELLO": b"-ERR unknown command 'HELLO'\r\n"}.get(words[0], b"+OK\r\n")
            stream.write(said)
            stream.flush()


def mongo(connection: socket.socket) -> None:
    """OP_QUERY and OP_MSG: says that it is a lone server, and that all is well."""
    hello = {"ismaster": True, "isWritablePrimary": True, "minWireVersion": 0, "maxWireVersion": 21, "ok": 1.0}
    limits = {"maxBsonObjectSize": 1 << 24, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 1000}
    while head := connection.recv(16, socket.MSG_WAITALL):
        size, request, _, kind = struct.unpack("<4i", head)
        body = connection.recv(size - 16, socket.MSG_WAITALL)
        said: dict[str, Any] = {**hello, **limits}
        if kind == 2013:
            command = bson.decode(body[5:])
            said = said if {"hello", "ismaster"} & set(command) else {"ok": 1.0}
            reply, code = struct.pack("<iB", 0, 0) + bson.encode(said), 2013
        else:
            reply, code = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(said), 1
        connection.sendall(struct.pack("<4i", 16 + len(reply), 1, request, code) + reply)


def postgres(connection: socket.socket) -> None:
    """Version 3: trusts everybody, and answers every query with one row: 42."""
    while True:
        (size,) = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))
        start = connection.recv(size - 4, socket.MSG_WAITALL)
        if start[:4] not in (struct.pack(">i", 80877103), struct.pack(">i", 80877104)):
            break
        connection.sendall(b"N")  # neither TLS nor GSSAPI
    parameters = b"".join(
        _message(b"S", name + b"\0" + value + b"\0")
        for name, value in ((b"server_version", b"17.0"), (b"client_encoding", b"UTF8"), (b"DateStyle", b"ISO"))
    )
    ready = _message(b"Z", b"I")
    connection.sendall(_message(b"R", struct.pack(">i", 0)) + parameters + ready)
    row = _message(b"T", struct.pack(">h", 1) + b"n\0" + struct.pack(">ihihih", 0, 0, 25, -1, -1, 0))
    row += _message(b"D", struct.pack(">hi", 1, 2) + b"42") + _message(b"C", b"SELECT 1\0")
    answers = {b"Q": row + ready, b"P": _message(b"1"), b"B": _message(b"2"), b"E": row, b"S": ready}
    for kind in _messages(connection):
        if kind == b"X":
            return
        connection.sendall(answers.get(kind, b""))


def _message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack(">i", 4 + len(body)) + body


def _messages(connection: socket.socket) -> Iterator[bytes]:
    while kind := connection.recv(1):
        (size,) = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))
        if size > 4:
            connection.recv(size - 4, socket.MSG_WAITALL)
        yield kind
