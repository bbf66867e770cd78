"""A build is waited for through a restart of the platform, and its output is shown once."""

from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cloudserve.cli.builds import wait_for_build
from cloudserve.cli.client import Client
from cloudserve.cli.output import CommandError, Output
from tests.unit.cli.scripted import Scripted

BUILD: dict[str, Any] = {"_id": "b1", "version": 1, "status": "deploying", "error": None, "output": ""}


def _tells(platform: Scripted, *states: dict[str, Any] | None) -> None:
    """Has the platform answer each question about the build with the next state; None breaks the connection off."""
    coming = iter(states)

    def answer(_request: Request, _body: bytes) -> Response:
        state = next(coming)
        if state is None:
            # Fewer bytes than were announced.
            return Response(b"{", headers={"content-length": "100"})
        return JSONResponse({"build": {**BUILD, **state}})

    platform.on["GET", "/api/builds/b1"] = answer


def test_output_is_shown_as_it_grows(platform: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    """Each part once."""
    _tells(platform, {"output": "a\n"}, {"output": "a\nb\n"}, {"output": "a\nb\nc\n", "status": "active"})
    with Client(platform.url) as client:
        assert wait_for_build(client, "b1", Output())["status"] == "active"
    assert capsys.readouterr() == ("", "a\nb\nc\n")


def test_a_platform_that_restarts_is_waited_for(platform: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    """And a build that begins anew shows its output anew."""
    _tells(platform, {"output": "old\n"}, None, None, {"output": "new\n"}, {"output": "new\n", "status": "active"})
    with Client(platform.url) as client:
        assert wait_for_build(client, "b1", Output())["status"] == "active"
    assert capsys.readouterr().err == "old\nnew\n"


def test_an_error_that_its_output_tells_is_not_told_twice(
    platform: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json, which shows no output, the error holds it."""
    failed = {"output": "checking\nbad.py:1: no\n", "error": "bad.py:1: no", "status": "failed"}
    _tells(platform, failed, failed)
    with Client(platform.url) as client:
        with pytest.raises(CommandError, match="says why above"):
            wait_for_build(client, "b1", Output())
        assert capsys.readouterr().err == failed["output"]
        with pytest.raises(CommandError, match=r"bad\.py:1: no"):
            wait_for_build(client, "b1", Output(as_json=True))
        assert capsys.readouterr().err == ""
