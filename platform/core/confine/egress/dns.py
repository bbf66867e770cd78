"""Reads as much of a DNS message (RFC 1035) as a relay needs, and makes the answers that it gives itself. Pure."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from cloudserve.core.confine.egress.addresses import Address

MAX_MESSAGE: Final = 65535
SERVER_FAILURE: Final = 2
NO_SUCH_NAME: Final = 3
REFUSED: Final = 5

_HEADER: Final = struct.Struct(">6H")
_RECORD: Final = struct.Struct(">HHIH")
_IS_ANSWER: Final = 0x8000
_OPCODE: Final = 0x7800
_TRUNCATED: Final = 0x0200
_RECURSION_DESIRED: Final = 0x0100
_RECURSION_AVAILABLE: Final = 0x0080
_CODE: Final = 0x000F
_POINTER: Final = 0xC0
_MAX_NAME: Final = 255
_INTERNET: Final = 1
_A: Final = 1
_AAAA: Final = 28


@dataclass(frozen=True, slots=True)
class Question:
    """What a query asks: the name in lower case without the dot at its end, and the bytes of the question itself.

    A dot or a backslash within a label has a backslash before it, bytes beyond printable ASCII are \\DDD (RFC 4343).
    """

    name: str
    raw: bytes


def read_query(message: bytes) -> Question:
    """Reads a standard query with one question. Raises ValueError."""
    if len(message) < _HEADER.size:
        raise ValueError("too short for a header")
    _, flags, questions, _, _, _ = _HEADER.unpack_from(message)
    if flags & (_IS_ANSWER | _OPCODE) or questions != 1:
        raise ValueError("no standard query with one question")
    return _read_question(message)


def is_answer_to(message: bytes, number: int, question: Question) -> bool:
    """Tells whether a message answers a query with this number: to the same question, in any case (RFC 5452)."""
    if len(message) < _HEADER.size:
        return False
    found, flags, questions, _, _, _ = _HEADER.unpack_from(message)
    asked = message[_HEADER.size : _HEADER.size + len(question.raw)]
    return found == number and bool(flags & _IS_ANSWER) and questions == 1 and asked.lower() == question.raw.lower()


def is_truncated(answer: bytes) -> bool:
    """Tells whether an answer has to be asked for again, by TCP."""
    return bool(_HEADER.unpack_from(answer)[1] & _TRUNCATED)


def code(answer: bytes) -> int:
    """Returns the answer's RCODE."""
    return int(_HEADER.unpack_from(answer)[1] & _CODE)


def number_of(message: bytes) -> int:
    """Returns the number by which an answer finds its query."""
    return int(_HEADER.unpack_from(message)[0])


def with_number(message: bytes, number: int) -> bytes:
    """Returns the message under another number."""
    return number.to_bytes(2, "big") + message[2:]


def failure(query: bytes, question: Question, failed: int) -> bytes:
    """Returns an answer without records, with an RCODE."""
    number, flags, _, _, _, _ = _HEADER.unpack_from(query)
    flags = _IS_ANSWER | flags & _RECURSION_DESIRED | _RECURSION_AVAILABLE | failed
    return _HEADER.pack(number, flags, 1, 0, 0, 0) + question.raw


def addresses(answer: bytes) -> list[tuple[Address, int]]:
    """Returns the addresses in an answer, each with its time to live in seconds; as far as it can be read."""
    found: list[tuple[Address, int]] = []
    try:
        for kind, ttl, data in _records(answer):
            if kind == _A and len(data) == 4:
                found.append((IPv4Address(data), ttl))
            elif kind == _AAAA and len(data) == 16:
                found.append((IPv6Address(data), ttl))
    except ValueError:
        pass  # what stands before the damage is as good as ever
    return found


def _records(answer: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yields type, time to live and data of each answering record. Raises ValueError where the message breaks off."""
    if len(answer) < _HEADER.size:
        raise ValueError("too short for a header")
    _, _, questions, records, _, _ = _HEADER.unpack_from(answer)
    position = _HEADER.size
    for _ in range(questions):
        position = _skip_name(answer, position) + 4
    for _ in range(records):
        position = _skip_name(answer, position)
        if position + _RECORD.size > len(answer):
            raise ValueError("a record is cut short")
        kind, family, ttl, size = _RECORD.unpack_from(answer, position)
        position += _RECORD.size
        data = answer[position : position + size]
        if len(data) != size:
            raise ValueError("a record is cut short")
        position += size
        if family == _INTERNET:
            yield kind, ttl if ttl < 1 << 31 else 0, data  # RFC 2181, section 8


def _read_question(message: bytes) -> Question:
    labels = []
    position = _HEADER.size
    while True:
        if position >= len(message):
            raise ValueError("the name is cut short")
        size = message[position]
        position += 1
        if size == 0:
            break
        if size >= _POINTER or position + size > len(message):
            raise ValueError("a label is cut short, or is none")
        labels.append(message[position : position + size])
        position += size
    end = position + 4
    if end > len(message) or position - _HEADER.size > _MAX_NAME:
        raise ValueError("the question is cut short, or its name too long")
    return Question(".".join(map(_shown, labels)), message[_HEADER.size : end])


def _shown(label: bytes) -> str:
    text = []
    for byte in label.lower():
        letter = chr(byte)
        if letter in ".\\":
            text.append("\\" + letter)
        else:
            text.append(letter if 0x20 < byte < 0x7F else f"\\{byte:03}")
    return "".join(text)


def _skip_name(message: bytes, position: int) -> int:
    """Returns where a name ends; a pointer is its end, and where it leads doesn't matter here."""
    while position < len(message):
        size = message[position]
        if size == 0:
            return position + 1
        if size & _POINTER == _POINTER:
            return position + 2
        if size & _POINTER:
            break
        position += 1 + size
    raise ValueError("a name is cut short, or is none")


def framed(message: bytes) -> bytes:
    """Returns the message as it travels by TCP: its length before it (RFC 1035, section 4.2.2)."""
    return len(message).to_bytes(2, "big") + message


def take_framed(received: bytearray) -> bytes | None:
    """Takes the first message out of what TCP has brought; None until it is whole."""
    size = 2 + int.from_bytes(received[:2], "big")
    if len(received) < max(size, 2):
        return None
    message = bytes(received[2:size])
    del received[:size]
    return message
