"""Heads of calls and answers."""

import pytest

from cloudserve.sandbox.abc import Call
from cloudserve.sandbox.heads import BadHead, check_status, read_head, write_head


def make_call(path: str) -> Call:
    return Call("exe_1", "GET", path, b"q=1", ((b"a", b"\xe9"),), b"", "::1", "http://h")


def test_a_calls_head_is_its_fields() -> None:
    """The fields stand in their fixed order, the headers behind them as they came."""
    assert write_head(make_call("/x")) == b"exe_1\0GET\0/x\0q=1\0::1\0http://h\0a\0\xe9"


def test_a_path_can_add_no_field() -> None:
    """A NUL in a decoded path is escaped again."""
    assert write_head(make_call("/a\0b")).count(b"\0") == write_head(make_call("/ab")).count(b"\0")


def test_an_answers_head_loses_what_frames_it() -> None:
    """Names come in lower case, values without blanks around them; the framing is not the function's."""
    head = b"Content-Type\0 text/css \0Content-Length\x0099\0Transfer-Encoding\0chunked\0X-A\0"
    assert read_head(head) == ((b"content-type", b"text/css"), (b"x-a", b""))
    assert read_head(b"") == ()


@pytest.mark.parametrize("head", [b"a", b"a b\0c", b"\0c", b"a\0b\r\nc: d", b"a\0\x01", b"a\0" + b"b" * 70_000])
def test_an_answers_head_that_can_not_be_sent_is_refused(head: bytes) -> None:
    """A name that is no token, a value with control characters, too much of it, or half a header."""
    with pytest.raises(BadHead):
        read_head(head)


@pytest.mark.parametrize("status", [0, 100, 101, 199, 600, 65535])
def test_a_status_outside_of_final_answers_is_refused(status: int) -> None:
    """Only what can end an exchange passes."""
    with pytest.raises(BadHead):
        check_status(status)
