"""What passes between a caller and a function, and what does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudserve.gateway.headers import ENVELOPE_TYPE, read_head
from cloudserve.sandbox.abc import Answer, Call, Deployment
from tests.unit.gateway.support import Platform, WholeAnswer

KEY = b"csk_" + b"k" * 43
SESSION = b"css_" + b"s" * 43


def test_headers_pass_as_they_came() -> None:
    """Names, values, order and repetition are kept."""
    headers = [(b"host", b"h"), (b"x-one", b"1"), (b"x-one", b"2"), (b"content-length", b"7"), (b"accept", b"*/*")]
    head = read_head(headers)
    assert head.passed == headers
    assert (head.length, head.credential, head.envelope) == (7, None, False)


@pytest.mark.parametrize(
    "header",
    [
        (b"api-key", KEY),
        (b"api-key", b"anything"),
        (b"x-api-key", KEY),
        (b"authorization", b"Bearer " + KEY),
        (b"authorization", b"bearer\t" + SESSION),
        (b"authorization", KEY),
        (b"cookie", b"session=" + SESSION),
        (b"connection", b"keep-alive"),
        (b"transfer-encoding", b"chunked"),
        (b"te", b"trailers"),
        (b"upgrade", b"websocket"),
        (b"proxy-authorization", b"Basic eDp5"),
    ],
)
def test_credentials_and_hop_by_hop_headers_end_here(header: tuple[bytes, bytes]) -> None:
    """They reach no function."""
    assert read_head([header]).passed == []


@pytest.mark.parametrize(
    "header",
    [
        (b"authorization", b"Bearer eyJhbGciOi"),
        (b"authorization", b"Basic dXNlcjpwYXNz"),
        (b"x-api-key", b"the-functions-own"),
        (b"cookie", b"theme=dark; id=7"),
    ],
)
def test_what_is_no_credential_of_the_platform_passes(header: tuple[bytes, bytes]) -> None:
    """A function may have keys, cookies and tokens of its own."""
    head = read_head([header])
    assert head.passed == [header]
    assert head.credential is None


def test_only_the_sessions_cookie_is_taken_from_the_others() -> None:
    """The function gets the rest, in order."""
    cookies = b"a=1; __Host-session=" + SESSION + b"; b=2"
    assert read_head([(b"cookie", cookies)]).passed == [(b"cookie", b"a=1; b=2")]


def test_headers_that_connection_names_end_here() -> None:
    """RFC 9110, section 7.6.1; several headers of that name are one list (section 5.3)."""
    connections = [(b"connection", b"close, X-Secret-Hop"), (b"connection", b"x-other-hop")]
    head = read_head([(b"x-secret-hop", b"1"), (b"x-other-hop", b"1"), *connections, (b"x-end", b"2")])
    assert head.passed == [(b"x-end", b"2")]


def test_the_envelope_is_asked_for_by_any_accept_header() -> None:
    """Another one beside it takes nothing back."""
    assert read_head([(b"accept", ENVELOPE_TYPE), (b"accept", b"*/*")]).envelope


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"api-key", b"x-api-key", b"authorization", b"cookie", b"connection", b"x-other"]),
            st.lists(st.sampled_from([KEY, SESSION, b"Bearer ", b"; ", b"a=", b" ", b",", b"x-other", b"\t"])).map(
                b"".join
            ),
        )
    )
)
def test_no_arrangement_of_credential_headers_lets_one_through(headers: list[tuple[bytes, bytes]]) -> None:
    """Whatever stands around a key or session in the headers that carry them."""
    for name, value in read_head(headers).passed:
        if name != b"x-other":
            assert KEY not in value
            assert SESSION not in value


async def test_a_function_can_not_speak_for_the_origin_it_shares(platform: Platform) -> None:
    """Its own headers pass; what would touch other functions, or the platform's own headers, does not."""

    async def script(_deployment: Deployment, _call: Call) -> Answer:
        return WholeAnswer(
            headers=[
                (b"X-Mine", b"1"),
                (b"Set-Cookie", b"a=1"),
                (b"Set-Cookie", b"b=2"),
                (b"Service-Worker-Allowed", b"/"),
                (b"Clear-Site-Data", b'"*"'),
                (b"Transfer-Encoding", b"chunked"),
                (b"Connection", b"close"),
                (b"Content-Length", b"999"),
                (b"X-CloudServe-Execution-Id", b"forged"),
            ]
        )

    await platform.function(await platform.owner(), public=True)
    platform.scripted.script = script
    answer = await platform.functions.get("/run/alice/hello")
    assert answer.headers["x-mine"] == "1"
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["content-length"] == "5"
    assert len(answer.headers.get_list("x-cloudserve-execution-id")) == 1
    assert answer.headers["x-cloudserve-execution-id"] != "forged"
    for name in ("service-worker-allowed", "clear-site-data", "transfer-encoding", "connection"):
        assert name not in answer.headers
