"""Which ids of a request its log lines carry: only well-formed ones, whoever sent them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudserve.core.telemetry.correlation import correlation, request_id, trace_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("traceparent", "trace"),
    [
        (f"00-{TRACE}-{SPAN}-01", TRACE),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", TRACE),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-1", None),
        ("", None),
    ],
)
def test_a_trace_is_known_by_a_valid_header(traceparent: str, trace: str | None) -> None:
    """As the specification's examples have it; a later version may say more."""
    assert trace_id(traceparent) == trace


def test_ids_are_found_among_the_headers() -> None:
    """Those that are malformed are not."""
    headers = [
        (b"accept", b"*/*"),
        (b"x-request-id", b"edge-12345678"),
        (b"traceparent", f"00-{TRACE}-{SPAN}-00".encode()),
    ]
    assert correlation(headers) == {"requestId": "edge-12345678", "traceId": TRACE}
    assert correlation([(b"x-request-id", b'"; drop'), (b"traceparent", b"\xff")]) == {}


@given(st.text())
def test_no_id_can_spoil_a_log(text: str) -> None:
    """It is short, on one line and of plain letters, or none."""
    known = request_id(text)
    assert known is None or (len(known) <= 128 and known.isascii() and known.isprintable() and '"' not in known)
