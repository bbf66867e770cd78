"""`deploy` sends what it was given, shows the build, and ends as the build ended."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.unit.cli.commands.conftest import Run
from tests.unit.cli.scripted import Scripted

LIMITS = {"timeoutSeconds": 10, "memoryMb": 128, "concurrency": 1, "minWarm": 0, "maxWorkers": 32}
HELLO: dict[str, Any] = {
    "_id": "f1",
    "name": "hello",
    "endpoint": "http://127.0.0.1:7701/run/ann/hello",
    "auth": "key",
    "limits": LIMITS,
}
BUILD = {"_id": "b1", "version": 1, "status": "pending", "error": None, "output": ""}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A function of one file."""
    file = tmp_path / "hello.py"
    file.write_text("handler = 'hi'\n")
    return file


def _builds(platform: Scripted, *states: dict[str, Any]) -> None:
    coming: Iterator[dict[str, Any]] = iter(states)
    platform.on["GET", "/api/builds/b1"] = lambda *_: JSONResponse({"build": {**BUILD, **next(coming)}})


def _takes_new(platform: Scripted) -> None:
    platform.answers("GET", "/api/functions", {"functions": []})
    platform.answers("POST", "/api/functions/deploy", {"function": HELLO, "build": BUILD}, 202)
    platform.answers("GET", "/api/functions/f1", {"function": HELLO})


def _takes_again(platform: Scripted) -> None:
    platform.answers("GET", "/api/functions", {"functions": [HELLO]})
    platform.answers("POST", "/api/functions/f1/redeploy", {"function": HELLO, "build": BUILD}, 202)
    platform.answers("GET", "/api/functions/f1", {"function": HELLO})


def _sent(platform: Scripted, path: str) -> bytes:
    return platform.bodies[platform.asked.index(("POST", path))]


def test_the_endpoint_is_all_there_is_on_standard_output(run: Run, signed_in: Scripted, source: Path) -> None:
    """The build's output and a ready curl line, without the key, are on standard error."""
    _takes_new(signed_in)
    _builds(signed_in, {"status": "deploying", "output": "one\n"}, {"status": "active", "output": "one\ntwo\n"})
    result = run("deploy", str(source))
    assert result.stdout == HELLO["endpoint"] + "\n"
    assert "one\ntwo\n" in result.stderr
    assert f'curl -H "api-key: $(./cloudserve key show)" {HELLO["endpoint"]}' in result.stderr
    assert "csk_" not in result.output


def test_a_file_goes_as_json_with_the_options_that_were_given(run: Run, signed_in: Scripted, source: Path) -> None:
    """And no other, so that the platform's defaults hold."""
    _takes_new(signed_in)
    _builds(signed_in, {"status": "active"})
    run("deploy", str(source), "--env", "A=1=2", "--secret", "TOKEN", "--memory", "256", "--public", "--egress", "none")
    assert json.loads(_sent(signed_in, "/api/functions/deploy")) == {
        "name": "hello",
        "filename": "hello.py",
        "code": "handler = 'hi'\n",
        "environment": {"A": "1=2"},
        "secrets": ["TOKEN"],
        "limits": {"memoryMb": 256},
        "auth": "public",
        "egress": {"mode": "none"},
    }


def test_a_folder_goes_as_an_archive_beside_its_options(run: Run, signed_in: Scripted, tmp_path: Path) -> None:
    """As multipart; its name is the folder's."""
    taken: list[Any] = []

    def take(request: Request, body: bytes) -> Response:
        boundary = request.headers["content-type"].partition("boundary=")[2].encode()
        taken.extend(part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in body.split(b"--" + boundary))
        return JSONResponse({"function": HELLO, "build": BUILD}, 202)

    _takes_new(signed_in)
    signed_in.on["POST", "/api/functions/deploy"] = take
    _builds(signed_in, {"status": "active"})
    folder = tmp_path / "Hello"
    folder.mkdir()
    (folder / "index.js").write_text("module.exports = 1;\n")
    run("deploy", str(folder), "--egress", "api.example.com:443", "--egress", "b.example.com")
    _, options, archive, _ = taken
    egress = {"mode": "list", "allow": ["api.example.com:443", "b.example.com"]}
    assert json.loads(options) == {"name": "hello", "egress": egress}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert tar.getnames() == ["index.js"]


def test_a_function_that_exists_gets_a_new_version(run: Run, signed_in: Scripted, source: Path) -> None:
    """A limit that is given joins those that it has."""
    _takes_again(signed_in)
    _builds(signed_in, {"status": "active", "version": 2})
    result = run("deploy", str(source), "--name", "ann/hello", "--timeout", "30")
    sent = json.loads(_sent(signed_in, "/api/functions/f1/redeploy"))
    assert sent == {"filename": "hello.py", "code": "handler = 'hi'\n", "limits": {**LIMITS, "timeoutSeconds": 30}}
    assert "Version 2 is live" in result.stderr


def test_a_build_that_fails_ends_the_command_with_its_own_error(run: Run, signed_in: Scripted, source: Path) -> None:
    """On standard error; standard output stays empty."""
    _takes_new(signed_in)
    _builds(signed_in, {"status": "failed", "error": "hello.py:1:5: invalid syntax", "output": "checking\n"})
    result = run("deploy", str(source), code=1)
    assert result.stdout == ""
    assert "checking\n" in result.stderr
    assert "hello.py:1:5: invalid syntax" in result.stderr


def test_json_holds_function_and_build_and_nothing_else(run: Run, signed_in: Scripted, source: Path) -> None:
    """A failure is JSON too, on standard error."""
    _takes_new(signed_in)
    _builds(signed_in, {"status": "active"}, {"status": "failed", "error": "bad"})
    result = run("deploy", str(source), "--json")
    assert set(json.loads(result.stdout)) == {"function", "build"}
    assert result.stderr == ""
    failed = run("deploy", str(source), "--json", code=1)
    assert failed.stdout == ""
    error = json.loads(failed.stderr)["error"]
    assert (error["reason"], error["build"]["error"]) == ("build-failed", "bad")


def test_a_refused_deploy_names_the_field(run: Run, signed_in: Scripted, source: Path) -> None:
    """As the platform's 422 does."""
    _takes_new(signed_in)
    fault = {"field": "name", "message": "reserved", "remedy": "Choose another."}
    problem = {"message": "The name is reserved.", "reason": "invalid", "errors": [fault]}
    signed_in.answers("POST", "/api/functions/deploy", problem, 422)
    assert "name: Choose another." in run("deploy", str(source), code=1).stderr


def test_a_function_of_another_owner_is_not_made(run: Run, signed_in: Scripted, source: Path) -> None:
    """The name space is that of the account."""
    _takes_new(signed_in)
    assert "signed in as ann" in run("deploy", str(source), "--name", "bob/hello", code=1).stderr


@pytest.mark.parametrize(
    ("option", "value"), [("--env", "NOVALUE"), ("--env", "=x"), ("--name", "/x"), ("--name", "a/b/c")]
)
def test_an_option_that_makes_no_sense_is_a_usage_error(
    run: Run, signed_in: Scripted, source: Path, option: str, value: str
) -> None:
    """With exit code 2, before anything is sent."""
    assert value in run("deploy", str(source), option, value, code=2).stderr
    assert ("POST", "/api/functions/deploy") not in signed_in.asked


def test_hosts_and_modes_of_egress_do_not_mix(run: Run, signed_in: Scripted, source: Path) -> None:
    """`none` beside a host would say two things."""
    assert signed_in.asked == []
    assert "mix" in run("deploy", str(source), "--egress", "none", "--egress", "a.example", code=2).stderr
