"""What every request of the platform's origin passes."""

from collections.abc import AsyncIterator

import pytest
from starlette.types import Message

from cloudserve.api.middleware import BODY_LIMIT, origin_of
from cloudserve.core.ids import is_id
from tests.unit.api.support import PASSWORD, URL, Platform, User

LOGIN = {"email": "ada@example.com", "password": PASSWORD}


async def test_every_answer_has_an_id(platform: Platform) -> None:
    """A fresh one, or the caller's if it has the form of one."""
    http = platform.client()
    assert is_id((await http.get("/healthz")).headers["x-request-id"])
    own = {"x-request-id": "0af7651916cd43dd8448eb211c80319c"}
    assert (await http.get("/healthz", headers=own)).headers["x-request-id"] == own["x-request-id"]
    for bad in ("short", "x" * 200, 'quo"te-quote', "spa ce-space"):
        assert is_id((await http.get("/healthz", headers={"x-request-id": bad})).headers["x-request-id"])


async def test_an_error_names_its_request(platform: Platform) -> None:
    """By the same id that the log has."""
    answer = await platform.client().get("/api/nothing")
    assert answer.json()["requestId"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/nothing", 404, "not-found"),
        ("GET", "/api/functions/", 404, "not-found"),
        ("GET", "/docs", 404, "not-found"),
        ("GET", "/run", 404, "not-found"),
        ("POST", "/run/ada/hello", 404, "not-found"),
        ("PATCH", "/api/functions", 405, "method-not-allowed"),
        ("DELETE", "/healthz", 405, "method-not-allowed"),
    ],
)
async def test_the_framework_s_errors_are_problems_too(
    platform: Platform, method: str, path: str, status: int, reason: str
) -> None:
    """In the one form that all errors have."""
    answer = await platform.client().request(method, path)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_refused_method_names_those_that_are_not(platform: Platform) -> None:
    """All of the address, whichever route has them."""
    for path, methods in [("/api/functions/x", "DELETE, GET, PUT"), ("/api/functions/deploy", "POST")]:
        answer = await platform.client().request("PATCH", path)
        assert answer.headers["allow"] == methods


@pytest.mark.parametrize(
    ("content", "content_type", "status", "reason"),
    [
        (b"{", "application/json", 400, "malformed-json"),
        (b'{"email": "\xff"}', "application/json", 400, "bad-request"),
        (b"[" * 100_000, "application/json", 400, "bad-request"),
        (b"[]", "application/json", 422, "invalid"),
        (b"null", "application/json", 422, "invalid"),
        (b"", "application/json", 422, "invalid"),
        (b"email=a", "application/x-www-form-urlencoded", 415, "unsupported-media-type"),
        (b'{"email": "a"}', "text/plain", 415, "unsupported-media-type"),
        (b'{"email": "a"}', None, 415, "unsupported-media-type"),
        (b'{"email": "\\ud800@example.com", "password": "x"}', "application/json", 422, "invalid"),
    ],
)
async def test_a_body_that_can_t_be_read(
    platform: Platform, content: bytes, content_type: str | None, status: int, reason: str
) -> None:
    """Is told apart from one that says something wrong."""
    headers = {"content-type": content_type} if content_type else {}
    answer = await platform.client().post("/api/auth/login", content=content, headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


async def test_a_body_is_bounded_while_it_comes(platform: Platform) -> None:
    """Announced or not, and before it is parsed."""
    http = platform.client()
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 65536
            yield b" " * 65536

    json = {"content-type": "application/json"}
    answer = await http.post("/api/auth/login", content=endless(), headers=json)
    assert (answer.status_code, answer.json()["reason"]) == (413, "too-large")
    assert taken <= BODY_LIMIT + 2 * 65536
    answer = await http.post("/api/auth/login", content=b" " * (BODY_LIMIT + 1), headers=json)
    assert (answer.status_code, answer.json()["reason"]) == (413, "too-large")


async def test_a_fault_of_ours_is_a_500_that_tells_nothing(
    platform: Platform, ada: User, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The trace is in the log, under the request's id."""

    async def broken(owner_id: str) -> None:
        raise RuntimeError("secret details of the host")

    monkeypatch.setattr(platform.store.functions, "list", broken)
    answer = await ada.http.get("/api/functions")
    assert (answer.status_code, answer.json()["reason"]) == (500, "internal-error")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "secret details" not in answer.text
    logged = capsys.readouterr().out
    assert "secret details" in logged
    assert answer.json()["requestId"] in logged


async def test_a_client_that_goes_is_no_fault(
    platform: Platform, ada: User, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the middle of a deploy, say: nothing is answered, and no trace is logged."""
    key = (await ada.http.post("/api/apikey/regenerate")).json()["apiKey"]
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])
    sent: list[Message] = []

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"api-key", key.encode()), (b"content-type", b"application/json")]
    path = "/api/functions/deploy"
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b"", "root_path": ""}
    await platform.app(scope, receive, send)
    assert sent == []
    assert "Traceback" not in capsys.readouterr().out


async def test_answers_carry_the_headers_of_a_careful_origin(platform: Platform) -> None:
    """Errors too; and the API lets no other origin read it."""
    for path in ("/api/platform", "/api/nothing"):
        headers = (await platform.client(origin="https://evil.example").get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "strict-transport-security" not in headers
        assert not [name for name in headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost:7701", "https://localhost:7700", "http://localhost", ""],
)
async def test_another_site_can_change_nothing(platform: Platform, ada: User, origin: str) -> None:
    """With a session's cookie or without one, signing in included."""
    for http in (ada.http, platform.client()):
        answer = await http.post("/api/auth/login", json=LOGIN, headers={"origin": origin})
        assert (answer.status_code, answer.json()["reason"]) == (403, "origin")
    assert (await ada.http.get("/api/functions", headers={"origin": origin})).status_code == 200


async def test_a_cookie_needs_an_origin(platform: Platform, ada: User) -> None:
    """Or else a referrer of ours; the remedy is in the answer."""
    cookie = f"cloudserve={ada.http.cookies['cloudserve']}"
    http = platform.client(origin=None, cookie=cookie)
    answer = await http.post("/api/apikey/regenerate")
    assert (answer.status_code, answer.json()["reason"]) == (403, "origin-missing")
    assert f"Origin: {URL}" in answer.json()["message"]
    referred = {"referer": f"{URL}/keys?tab=1"}
    assert (await http.post("/api/apikey/regenerate", headers=referred)).status_code == 200
    referred = {"referer": "https://evil.example/"}
    assert (await http.post("/api/apikey/regenerate", headers=referred)).status_code == 403


async def test_a_cookie_is_one_however_it_is_spelt(platform: Platform, ada: User) -> None:
    """Whatever passes for the session's cookie needs an origin."""
    for spelt in ("cloudserve ={}", "a=1;\tcloudserve={}", "a=1;cloudserve\t= {}"):
        http = platform.client(origin=None, cookie=spelt.format(ada.http.cookies["cloudserve"]))
        assert (await http.get("/api/auth/me")).status_code == 200
        answer = await http.post("/api/apikey/regenerate")
        assert (answer.status_code, answer.json()["reason"]) == (403, "origin-missing")


async def test_a_program_needs_none(platform: Platform, ada: User) -> None:
    """A key is sent on purpose, and not by a browser for another site."""
    http = await platform.key_of(ada, "admin")
    assert (await http.post("/api/apikey/regenerate")).status_code == 200
    assert (await platform.client(origin=None).post("/api/auth/login", json=LOGIN)).status_code == 200


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://localhost:7700/", "http://localhost:7700"),
        ("HTTP://LOCALHOST:80", "http://localhost"),
        ("https://faas.example.com:443/a?b", "https://faas.example.com"),
        ("http://[::1]:7700", "http://[::1]:7700"),
        ("https://user:word@faas.example.com", "https://faas.example.com"),
        ("null", None),
        ("file:///etc/passwd", None),
        ("http://localhost:port", None),
        ("http://[", None),
        ("", None),
    ],
)
def test_origins_are_compared_in_one_form(url: str, origin: str | None) -> None:
    """Scheme, host and port, the usual port left out; what has no origin is nobody's."""
    assert origin_of(url) == origin


async def test_what_functions_answer_passes_untouched(platform: Platform) -> None:
    """What is mounted under `/run` has its own rules: no origin, no limit and no header of ours."""

    async def function(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        size = 0
        while True:
            message = await receive()
            size += len(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(size).encode()})

    platform.app.mount("/run", function)
    http = platform.client(origin="https://elsewhere.example")
    answer = await http.post("/run/ada/hello", content=b"x" * (BODY_LIMIT + 1))
    assert (answer.status_code, answer.text) == (200, str(BODY_LIMIT + 1))
    assert "content-security-policy" not in answer.headers
    assert "x-request-id" not in answer.headers
