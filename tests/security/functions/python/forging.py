"""Attacks on the worker's own socket: frames that the runtime would never send (`sandbox/protocol.py`)."""

import json
import os
import struct
from typing import Any

_SOCKET = 3
_HELLO, _READY, _REFUSED, _RESULT, _HEAD, _PART, _END, _CREDIT, _FAILED, _LOG = 1, 3, 4, 7, 8, 9, 10, 11, 13, 14
_MOST = 2**32 - 1


def frames(kind: str) -> bytes:
    """Returns what is written instead of an answer."""
    made = {
        "others' answers": b"".join(_frame(_RESULT, _answer(b"forged"), call) for call in range(1000)),
        "many answers to one call": b"".join(_frame(_RESULT, _answer(b"forged"), 1) for _ in range(1000)),
        "garbage": os.urandom(1 << 20),
        "a giant frame": struct.pack(">IBI", _MOST, _RESULT, 1) + bytes(1 << 20),
        "a giant frame of a kind that nobody knows": struct.pack(">IBI", _MOST, 200, 1) + bytes(1 << 20),
        "false figures": _frame(_RESULT, _answer(b"forged", memory=_MOST), 1),
        "parts without end": _frame(_HEAD, struct.pack(">HQ", 200, 0), 1) + _frame(_PART, bytes(65536), 1) * 500,
        "a promised length": _frame(_HEAD, struct.pack(">HQ", 200, 2**63), 1) + _frame(_END, struct.pack(">I", 0), 1),
        "credit without end": _frame(_CREDIT, struct.pack(">I", _MOST), 1) * 1000,
        "log lines without end": _frame(_LOG, struct.pack(">Bd", 1, 0.0) + b"x" * 60000, 1) * 500,
        "log lines of the worker itself": _frame(_LOG, struct.pack(">Bd", 1, 0.0) + b"x" * 60000, 0) * 500,
        "times that are none": _frame(_LOG, struct.pack(">Bd", 1, float("nan")) + b"x", 1) * 10,
        "beginning again": _frame(_HELLO, b"", 0) + _frame(_READY, b'{"loadMs": 1e308, "imports": [["x", 1]]}', 0),
        "refusing after all": _frame(_REFUSED, b'{"name": "x", "message": "y", "reason": "shutdown"}', 0),
        "deep JSON": _frame(_FAILED, b"[" * 200_000, 1),
        "wrong JSON": _frame(_FAILED, b'{"reason": 7, "name": [], "message": {}, "stack": 1, "memoryKib": "x"}', 1),
        "large JSON": _frame(_FAILED, json.dumps({"reason": "exception", "message": "x" * 10_000_000}).encode(), 1),
        "header injection": _frame(_RESULT, _answer(b"x", head=b"set-cookie\0a\r\nx-evil: 1"), 1),
        "nothing, but closed": b"",
    }
    return made[kind]


def forge(targets: dict[str, Any]) -> str:
    """Writes the frames and then answers as if nothing had been."""
    data = frames(targets["kind"])
    os.set_blocking(_SOCKET, True)
    while data:
        data = data[os.write(_SOCKET, data) :]
    if targets["kind"] == "nothing, but closed":
        os.close(_SOCKET)
    return "own"


def _frame(kind: int, payload: bytes, call: int) -> bytes:
    return struct.pack(">IBI", len(payload), kind, call) + payload


def _answer(body: bytes, *, memory: int = 0, head: bytes = b"") -> bytes:
    return struct.pack(">HII", 200, memory, len(head)) + head + body
