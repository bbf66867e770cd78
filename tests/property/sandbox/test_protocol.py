"""Frames survive any chunking, and no bytes of a worker do more than end the connection."""

import contextlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudserve.sandbox.heads import BadHead, read_head
from cloudserve.sandbox.protocol import MAX_FRAME_BYTES, Frame, FrameReader, ProtocolError, frame

FRAMES = st.lists(st.tuples(st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=300)), max_size=20)


def chunks(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Cuts bytes into pieces of these sizes, over and over."""
    pieces, at, turn = [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)] if sizes else len(data)
        pieces.append(data[at : at + size])
        at, turn = at + size, turn + 1
    return pieces


@given(FRAMES, st.lists(st.integers(1, 400), max_size=10))
def test_frames_come_out_as_they_went_in(frames: list[Frame], sizes: list[int]) -> None:
    """However the bytes are cut, the same frames come out, in order, each as soon as it is complete."""
    reader = FrameReader()
    data = b"".join(frame(kind, call_id, payload) for kind, call_id, payload in frames)
    got: list[Frame] = []
    for piece in chunks(data, sizes):
        got += reader.feed(piece)
    assert got == frames


@given(st.lists(st.binary(max_size=64), max_size=30))
def test_no_bytes_break_the_reader(pieces: list[bytes]) -> None:
    """Any bytes are frames, the beginning of one, or a ProtocolError."""
    reader = FrameReader(max_frame_bytes=256)
    with contextlib.suppress(ProtocolError):
        for piece in pieces:
            for _, _, payload in reader.feed(piece):
                assert len(payload) <= 256


@given(st.integers(MAX_FRAME_BYTES + 1, 2**32 - 1))
def test_a_frame_that_is_too_long_is_refused_by_its_head(length: int) -> None:
    """Nothing of an oversized frame is waited for."""
    with pytest.raises(ProtocolError, match=str(length)):
        FrameReader().feed(length.to_bytes(4, "big") + b"\x07\0\0\0\x01")


@given(st.binary(max_size=200))
def test_a_head_of_any_bytes_is_safe_or_refused(head: bytes) -> None:
    """What passes has names of token characters in lower case and values without control characters."""
    try:
        headers = read_head(head)
    except BadHead:
        return
    for name, value in headers:
        assert name
        assert name == name.lower()
        assert not set(name) & set(b' ()<>@,;:\\"/[]?={}\t\r\n\0')
        assert not set(value) & set(b"\r\n\0")
        assert name not in (b"content-length", b"transfer-encoding", b"connection")
