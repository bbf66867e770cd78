"""`invoke` is as true to the function's answer as curl, and says when it is an error."""

import base64
import json
from pathlib import Path

import pytest
from starlette.responses import JSONResponse, Response, StreamingResponse

from tests.unit.cli.commands.conftest import Run
from tests.unit.cli.scripted import Scripted

PATH = "/run/ann/hello"


def test_without_a_body_it_asks_with_get_and_prints_the_bytes(run: Run, signed_in: Scripted) -> None:
    """Nothing is added, not even a line break."""
    signed_in.on["GET", PATH] = lambda *_: Response(b"\x00\xff\n\n")
    assert run("invoke", "hello").stdout_bytes == b"\x00\xff\n\n"


def test_everything_of_the_request_can_be_given(run: Run, signed_in: Scripted) -> None:
    """Method, sub-path, query and headers."""
    signed_in.on["PATCH", PATH + "/greet/me"] = lambda *_: Response("ok")
    words = ["--method", "patch", "--path", "greet/me", "--query", "a=1", "--query", "a=b c", "--header", "X-Y: z:z"]
    run("invoke", "ann/hello", *words)
    [request] = signed_in.requests
    assert request.url.query == "a=1&a=b+c"
    assert request.headers["x-y"] == "z:z"
    assert request.headers["authorization"] == "Bearer csk_ann"


@pytest.mark.parametrize(
    ("data", "stdin", "media_type"),
    [
        ('{"a": 1}', b"", "application/json"),
        ("plain words", b"", "text/plain; charset=utf-8"),
        ("-", b"[1]", "application/json"),
        ("-", b"\x00\x01", "application/octet-stream"),
    ],
)
def test_a_body_is_posted_with_a_fitting_type(
    run: Run, signed_in: Scripted, data: str, stdin: bytes, media_type: str
) -> None:
    """Whether it stands on the line or comes on standard input."""
    signed_in.on["POST", PATH] = lambda *_: Response("ok")
    run("invoke", "hello", "--data", data, stdin=stdin)
    assert signed_in.bodies == [stdin or data.encode()]
    assert signed_in.requests[0].headers["content-type"] == media_type


def test_a_file_is_posted_with_the_type_its_name_tells(run: Run, signed_in: Scripted, tmp_path: Path) -> None:
    """Unless a header says otherwise."""
    signed_in.on["POST", PATH] = lambda *_: Response("ok")
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    run("invoke", "hello", "--data", f"@{tmp_path / 'a.png'}")
    run("invoke", "hello", "--data", f"@{tmp_path / 'a.png'}", "--header", "content-type: image/x-own")
    assert [request.headers["content-type"] for request in signed_in.requests] == ["image/png", "image/x-own"]


def test_an_error_of_the_platform_is_told_with_its_reason(run: Run, signed_in: Scripted) -> None:
    """And prints nothing where the body should be."""
    problem = {"message": "The function took longer than 10 s.", "reason": "timeout", "requestId": "01k9"}
    signed_in.on["GET", PATH] = lambda *_: JSONResponse(problem, 504, media_type="application/problem+json")
    result = run("invoke", "hello", code=1)
    assert result.stdout == ""
    assert "took longer than 10 s" in result.stderr
    assert "reason: timeout, request 01k9" in result.stderr


def test_an_error_of_the_functions_own_is_printed_and_ends_with_1(run: Run, signed_in: Scripted) -> None:
    """Its body may hold what the caller needs."""
    signed_in.on["GET", PATH] = lambda *_: JSONResponse({"missing": "id"}, 404)
    result = run("invoke", "hello", code=1)
    assert json.loads(result.stdout) == {"missing": "id"}
    assert "status 404" in result.stderr


def test_a_stream_that_breaks_off_is_an_error(run: Run, signed_in: Scripted) -> None:
    """What came before is printed."""

    async def breaking():  # type: ignore[no-untyped-def]
        yield b"first"
        raise ConnectionAbortedError

    signed_in.on["GET", PATH] = lambda *_: StreamingResponse(breaking())
    result = run("invoke", "hello", code=1)
    assert result.stdout == "first"
    assert "broke off" in result.stderr


def test_json_holds_status_headers_body_and_execution(run: Run, signed_in: Scripted) -> None:
    """A body that is no text is in base 64."""
    headers = {"x-cloudserve-execution-id": "e1"}
    signed_in.on["GET", PATH] = lambda *_: Response(b"\xff", 201, headers)
    answer = json.loads(run("invoke", "hello", "--json").stdout)
    assert (answer["statusCode"], answer["executionId"]) == (201, "e1")
    assert answer["isBase64Encoded"]
    assert base64.b64decode(answer["body"]) == b"\xff"


@pytest.mark.parametrize("words", [["--query", "a"], ["--header", "a"], ["--data", "@/no/such/file"]])
def test_an_option_that_makes_no_sense_is_a_usage_error(run: Run, signed_in: Scripted, words: list[str]) -> None:
    """With exit code 2, before anything is sent."""
    run("invoke", "hello", *words, code=2)
    assert signed_in.asked == []
