"""What a platform says reaches a person as a sentence, and a program as data."""

import socket

import pytest
from starlette.responses import PlainTextResponse

from cloudserve.cli import profile
from cloudserve.cli.client import ApiError, Client, connect
from cloudserve.cli.output import CommandError
from tests.unit.cli.scripted import Scripted

PROBLEM = {
    "type": "urn:cloudserve:problem:invalid",
    "title": "Unprocessable Content",
    "status": 422,
    "detail": "A function has at most 50 dependencies.",
    "message": "A function has at most 50 dependencies.",
    "component": "api",
    "reason": "invalid",
    "requestId": "01k9",
    "errors": [{"field": "dependencies", "message": "too many", "limit": 50, "remedy": "Drop one."}],
}


def test_a_problem_names_field_limit_remedy_and_request(platform: Scripted) -> None:
    """All that the answer holds for a person."""
    platform.answers("GET", "/api/functions", PROBLEM, 422)
    with Client(platform.url) as client, pytest.raises(ApiError) as caught:
        client.get("/api/functions")
    assert caught.value.message == "A function has at most 50 dependencies."
    assert caught.value.notes == [
        "  dependencies: limit: 50; Drop one.",
        "(reason: invalid, request 01k9)",
    ]
    assert (caught.value.reason, caught.value.status) == ("invalid", 422)
    assert caught.value.details["errors"] == PROBLEM["errors"]


def test_a_401_says_how_to_sign_in(platform: Scripted) -> None:
    """With the verb to type."""
    platform.answers("GET", "/api/functions", {"message": "Unknown key.", "reason": "unknown-key"}, 401)
    with Client(platform.url) as client, pytest.raises(ApiError) as caught:
        client.get("/api/functions")
    assert "cloudserve login" in caught.value.notes[-1]


def test_an_error_that_is_no_problem_still_names_its_status(platform: Scripted) -> None:
    """Such as that of a proxy in between."""
    platform.on["GET", "/x"] = lambda *_: PlainTextResponse("Bad Gateway", 502)
    with Client(platform.url) as client, pytest.raises(ApiError, match="status 502"):
        client.get("/x")


def test_what_is_no_platform_is_told(platform: Scripted) -> None:
    """A page where JSON should be."""
    platform.on["GET", "/x"] = lambda *_: PlainTextResponse("<html>")
    with Client(platform.url) as client, pytest.raises(CommandError, match="is it a CloudServe platform"):
        client.get("/x")


def test_a_platform_that_is_down_is_told_with_the_command_to_start_it() -> None:
    """Nothing listens on the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with (
        Client(f"http://127.0.0.1:{port}") as client,
        pytest.raises(CommandError, match=r"isn't running\. Start it with `./cloudserve up`") as caught,
    ):
        client.get("/api/functions")
    assert caught.value.reason == "unreachable"


@pytest.mark.parametrize("url", ["localhost:7700", "ftp://localhost", "http://", "faas"])
def test_what_is_no_url_is_told(url: str) -> None:
    """With an example of one."""
    with Client(url) as client, pytest.raises(CommandError, match="http://localhost:7700"):
        client.get("/api/functions")


def test_the_key_goes_as_a_bearer_token(signed_in: Scripted) -> None:
    """Never in the URL."""
    signed_in.answers("GET", "/api/functions", {"functions": []})
    with connect(None) as client:
        client.get("/api/functions")
    [request] = signed_in.requests
    assert request.headers["authorization"] == "Bearer csk_ann"
    assert "csk_" not in str(request.url)


def test_the_key_of_the_environment_comes_before_the_kept_one(
    signed_in: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with it another account, whose name is asked for."""
    signed_in.answers("GET", "/api/auth/me", {"user": {"userName": "bob"}})
    monkeypatch.setenv("CLOUDSERVE_API_KEY", "csk_bob")
    with connect(None) as client:
        assert client.name == "bob"
    assert signed_in.requests[0].headers["authorization"] == "Bearer csk_bob"


def test_a_kept_key_is_sent_to_its_own_platform_alone(signed_in: Scripted) -> None:
    """Another URL gets none."""
    profile.remember("https://elsewhere.example", "https://run.elsewhere.example", "csk_other", "ann")
    with connect(signed_in.url) as client:
        assert client.api_key == "csk_ann"
    with connect("http://127.0.0.1:1") as client:
        assert client.api_key is None


def test_without_a_platform_it_says_how_to_get_one() -> None:
    """A fresh home knows none."""
    with pytest.raises(CommandError, match="cloudserve up"):
        connect(None)


def test_the_functions_origin_is_asked_for_when_it_is_not_known(platform: Scripted) -> None:
    """The platform tells it to anyone."""
    platform.answers("GET", "/api/platform", {"runUrl": "https://run.example/"})
    with Client(platform.url) as client:
        assert client.run_url == "https://run.example"
