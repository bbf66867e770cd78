"""A call as it came over the wire, before any shape gives it a face."""

import time
from dataclasses import dataclass
from typing import Final

from cloudserve.sandbox.protocol import U32

_FIXED_FIELDS: Final = 6


@dataclass(slots=True)
class Request:
    """One call. Header names are in lower case; `deadline` is on the monotonic clock."""

    execution_id: str
    method: str
    path: str
    query: str
    client: str
    base_url: str
    headers: list[tuple[str, str]]
    body: bytes
    deadline: float


def read_call(payload: bytes, timeout: float) -> Request:
    """Reads the payload of a CALL frame."""
    (size,) = U32.unpack_from(payload)
    return read_head(payload[4 : 4 + size], payload[4 + size :], timeout)


def read_head(head: bytes, body: bytes, timeout: float) -> Request:
    """Reads the head of a call, to which its body belongs."""
    if head.isascii():
        texts = head.decode("ascii").split("\0")
    else:
        fields = head.split(b"\0")
        texts = [part.decode("utf-8", "replace") for part in fields[:_FIXED_FIELDS]]
        texts += [part.decode("latin-1") for part in fields[_FIXED_FIELDS:]]
    execution_id, method, path, query, client, base_url = texts[:_FIXED_FIELDS]
    headers = list(zip(texts[_FIXED_FIELDS::2], texts[_FIXED_FIELDS + 1 :: 2], strict=True))
    return Request(execution_id, method, path, query, client, base_url, headers, body, time.monotonic() + timeout)
