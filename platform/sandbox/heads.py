"""Heads of calls and answers, to and from their form on the wire.

What a worker says is checked here, because it is a stranger's: header names are tokens in lower case, values hold no
control character, and what frames a message (Content-Length, Transfer-Encoding, Connection) is not the function's to
say.
"""

import re
from collections.abc import AsyncIterator
from typing import Any, Final

from cloudserve.sandbox.abc import Call, Headers
from cloudserve.sandbox.protocol import MAX_HEAD_BYTES

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_FRAMING: Final = frozenset((b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"upgrade"))
_KEPT_HEADS: Final = 1024
_KEPT_HEAD_BYTES: Final = 512

_known: dict[bytes, Headers] = {}
"""Most functions answer with the same few heads: checked once, kept."""


class BadHead(ValueError):  # noqa: N818 - reads as what it is
    """An answer's head that can't be sent; the message says why."""


class WrittenCall(Call):
    """A call that came over a wire: its head goes on as it came, and is read only where somebody asks for a field.

    Raises ValueError for a head that no `write_head` has made, when it is read.
    """

    __slots__ = ("head",)

    def __init__(self, head: bytes, body: bytes | AsyncIterator[bytes]) -> None:
        self.head = head
        self.body = body

    def __getattr__(self, name: str) -> Any:
        """Reads the head, as none of the fields in it is there yet."""
        if name not in Call.__slots__ or name == "body":
            raise AttributeError(name)
        execution_id, method, path, query, client, base_url, *headers = self.head.split(b"\0")
        self.execution_id, self.method = execution_id.decode(), method.decode()
        self.path = path.decode("utf-8", "surrogateescape")
        self.query = query
        self.client, self.base_url = client.decode(), base_url.decode()
        self.headers = tuple(zip(headers[::2], headers[1::2], strict=True))
        return getattr(self, name)


def write_head(call: Call) -> bytes:
    """Returns a call's head as the wire has it."""
    if isinstance(call, WrittenCall):
        return call.head
    path = call.path if "\0" not in call.path else call.path.replace("\0", "%00")
    fields = [
        f"{call.execution_id}\0{call.method}\0{path}".encode("utf-8", "surrogateescape"),
        call.query,
        f"{call.client}\0{call.base_url}".encode(),
    ]
    for header in call.headers:
        fields += header
    return b"\0".join(fields)


def read_head(head: bytes) -> Headers:
    """Returns an answer's headers, checked. Raises `BadHead`."""
    headers = _known.get(head)
    if headers is None:
        headers = _read(head)
        if len(head) <= _KEPT_HEAD_BYTES:
            if len(_known) >= _KEPT_HEADS:
                _known.clear()
            _known[head] = headers
    return headers


def check_status(status: int) -> None:
    """Raises `BadHead` for a status that no answer may have."""
    if not 200 <= status <= 599:
        raise BadHead(f"The status is {status}; it must be from 200 to 599.")


def _read(head: bytes) -> Headers:
    if not head:
        return ()
    if len(head) > MAX_HEAD_BYTES:
        raise BadHead(f"The headers have {len(head)} bytes; the limit is {MAX_HEAD_BYTES}.")
    fields = head.split(b"\0")
    if len(fields) % 2:
        raise BadHead("A header holds a NUL byte.")
    headers: list[tuple[bytes, bytes]] = []
    for name, value in zip(fields[::2], fields[1::2], strict=True):
        if not _TOKEN.fullmatch(name):
            raise BadHead(f"{name.decode('latin-1')!r} is no header name.")
        if _CONTROL.search(value):
            raise BadHead(f"The header {name.decode('latin-1')} holds a control character.")
        lower = name.lower()
        if lower not in _FRAMING:
            headers.append((lower, value.strip()))
    return tuple(headers)
