"""DNS messages: read as far as a relay needs, and no farther than they go."""

import ipaddress
import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudserve.core.confine.egress import dns

_labels = st.lists(st.binary(min_size=1, max_size=20), min_size=0, max_size=6)


def query(labels: list[bytes], number: int = 7, kind: int = 1, flags: int = 0x0100) -> bytes:
    """Returns a query for a name."""
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return struct.pack(">6H", number, flags, 1, 0, 0, 0) + name + struct.pack(">2H", kind, 1)


def answer(asked: bytes, *records: tuple[int, int, bytes], flags: int = 0x8180) -> bytes:
    """Returns an answer to it, with records of a type, a time to live and data."""
    question = dns.read_query(asked).raw
    head = asked[:2] + struct.pack(">5H", flags, 1, len(records), 0, 0) + question
    body = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data for kind, ttl, data in records)
    return head + body


@given(_labels, st.integers(0, 65535))
def test_a_query_is_read_back(labels: list[bytes], number: int) -> None:
    """Its name in lower case, with what is no letter of a host name spelt out."""
    message = query(labels, number)
    question = dns.read_query(message)
    assert question.raw == message[12:]
    assert dns.number_of(message) == number
    assert len(re.findall(r"(?:\\.|[^.\\])+", question.name)) == len(labels)
    assert question.name == question.name.lower()


def test_names_can_not_be_made_to_look_like_others() -> None:
    """A dot within a label is no dot between two."""
    assert dns.read_query(query([b"API", b"Example", b"com"])).name == "api.example.com"
    assert dns.read_query(query([b"api.example", b"com"])).name == "api\\.example.com"
    assert dns.read_query(query([b"a\\b", b"\xff\0 "])).name == "a\\\\b.\\255\\000\\032"


@given(st.binary(max_size=80))
def test_any_bytes_are_a_query_or_a_value_error(data: bytes) -> None:
    """And nothing else comes of them; addresses are read from anything."""
    try:
        question = dns.read_query(data)
    except ValueError:
        pass
    else:
        assert data[12:].startswith(question.raw)
    dns.addresses(data)
    dns.is_answer_to(data, 1, dns.Question("a", b"\1a\0\0\1\0\1"))


@given(st.data())
def test_a_message_cut_short_yields_what_it_has(data: st.DataObject) -> None:
    """Never more than the whole one."""
    asked = query([b"a", b"example"])
    records = [(1, 60, bytes([8, 8, 8, number])) for number in range(5)]
    whole = answer(asked, *records)
    part = whole[: data.draw(st.integers(0, len(whole)))]
    expected = [(ipaddress.ip_address(record[2]), 60) for record in records]
    found = dns.addresses(part)
    assert found == expected[: len(found)]
    assert dns.addresses(whole) == expected


def test_addresses_are_those_of_the_answer() -> None:
    """A and AAAA; other records are passed over, and a time to live beyond reason is none (RFC 2181)."""
    asked = query([b"a"])
    message = answer(asked, (5, 9, b"\1b\0"), (1, 30, bytes(4)), (28, 2**31 + 5, bytes(15) + b"\1"), (1, 30, bytes(3)))
    assert dns.addresses(message) == [(ipaddress.ip_address("0.0.0.0"), 30), (ipaddress.ip_address("::1"), 0)]


def test_an_answer_belongs_to_its_question() -> None:
    """By number and question, in any case; a query is none."""
    asked = query([b"a", b"example"], 7)
    question = dns.read_query(asked)
    assert dns.is_answer_to(answer(asked), 7, question)
    assert dns.is_answer_to(answer(query([b"A", b"EXAMPLE"], 7)), 7, question)
    assert not dns.is_answer_to(answer(asked), 8, question)
    assert not dns.is_answer_to(answer(query([b"b", b"example"], 7)), 7, question)
    assert not dns.is_answer_to(asked, 7, question)


def test_a_failure_is_an_answer_without_records() -> None:
    """With the question and the number it was asked with."""
    asked = query([b"a"], 99)
    question = dns.read_query(asked)
    message = dns.failure(asked, question, dns.NO_SUCH_NAME)
    assert dns.is_answer_to(message, 99, question)
    assert dns.code(message) == dns.NO_SUCH_NAME
    assert dns.addresses(message) == []
    assert not dns.is_truncated(message)
    assert dns.is_truncated(answer(asked, flags=0x8380))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        bytes(12),
        query([b"a"], flags=0x8100),
        query([b"a"], flags=0x2800),
        query([b"a"])[:-1],
        query([b"a" * 63] * 5),
        struct.pack(">6H", 1, 0x0100, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",
        struct.pack(">6H", 1, 0x0100, 2, 0, 0, 0) + b"\1a\0\0\1\0\1" * 2,
    ],
)
def test_what_is_no_plain_query_is_refused(message: bytes) -> None:
    """Answers, updates, several questions, names that point elsewhere or are too long."""
    with pytest.raises(ValueError, match=r"\w"):
        dns.read_query(message)


@given(st.lists(st.binary(max_size=40), max_size=5), st.integers(1, 7))
def test_messages_by_tcp_come_apart_as_they_were_put_together(messages: list[bytes], size: int) -> None:
    """However the stream is cut."""
    stream = b"".join(map(dns.framed, messages))
    received, found = bytearray(), []
    for start in range(0, len(stream), size):
        received += stream[start : start + size]
        while (message := dns.take_framed(received)) is not None:
            found.append(message)
    assert found == messages
    assert not received
