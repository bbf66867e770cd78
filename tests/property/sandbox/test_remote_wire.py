"""What goes over the wire between gateway and host comes back as it was, and no bytes of a peer raise anything else."""

import contextlib
import struct
from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from cloudserve.sandbox.abc import Call, ColdStart, LogEntry, Outcome
from cloudserve.sandbox.heads import WrittenCall, write_head
from cloudserve.sandbox.protocol import HEADER, LEVELS, ProtocolError
from cloudserve.sandbox.remote.documents import read_deployment
from cloudserve.sandbox.remote.reports import Report
from cloudserve.sandbox.remote.results import (
    Result,
    read_failed,
    read_logs,
    read_outcome,
    read_stream_head,
    write_logs,
    write_outcome,
    write_result,
)

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
WORDS = TEXT.map(lambda text: text.replace("\0", ""))
BYTES = st.binary(max_size=30).map(lambda data: data.replace(b"\0", b""))
FIGURES = st.floats(0, 1e9)
COLD = st.builds(ColdStart, FIGURES, FIGURES, FIGURES, st.lists(st.tuples(TEXT, FIGURES), max_size=3), st.booleans())
OUTCOMES = st.builds(
    Outcome,
    st.sampled_from(["success", "error", "timeout"]),
    FIGURES,
    FIGURES,
    st.lists(st.builds(LogEntry, FIGURES, st.sampled_from(LEVELS), TEXT), max_size=4),
    st.booleans(),
    st.none() | TEXT,
    st.none() | TEXT,
    st.none() | st.sampled_from(["timeout", "crash"]),
    st.none() | COLD,
    st.none() | st.integers(1, 64),
    st.none() | TEXT,
)


CALLS = st.builds(
    Call, WORDS, WORDS, WORDS, BYTES, st.lists(st.tuples(BYTES, BYTES), max_size=5).map(tuple), BYTES, WORDS, WORDS
)


@given(CALLS)
def test_a_call_comes_out_as_it_went_in(call: Call) -> None:
    """Of any fields without NUL bytes, which no request can have."""
    assert isinstance(call.body, bytes)
    assert asdict(WrittenCall(write_head(call), call.body)) == asdict(call)


@given(OUTCOMES, st.binary(max_size=50))
def test_an_outcome_comes_out_as_it_went_in(outcome: Outcome, body: bytes) -> None:
    """With a whole answer, and at the end of one in parts."""
    logs = [entry for data in write_logs(7, outcome.logs) for entry in read_logs(data[HEADER.size :])]
    assert read_outcome(write_outcome(outcome), logs) == outcome
    result = Result(write_result(7, 200, ((b"a", b"b"), (b"c", b"")), outcome, body)[HEADER.size :])
    result.logs = logs
    assert (result.status, result.head, result.body) == (200, b"a\0b\0c\0", body)
    assert result.outcome() == outcome


@given(st.binary(max_size=200))
def test_no_bytes_of_a_peer_do_more_than_end_the_connection(data: bytes) -> None:
    """Whatever reads a payload raises what `Link` ends the connection for."""
    for read in (
        lambda: WrittenCall(data, b"").path,
        lambda: Result(data).outcome(),
        lambda: read_outcome(data, ()),
        lambda: read_failed(data, ()),
        lambda: read_logs(data),
        lambda: read_stream_head(data),
        lambda: Report.read(data),
        lambda: read_deployment(data),
    ):
        with contextlib.suppress(ProtocolError, ValueError, struct.error):
            read()
