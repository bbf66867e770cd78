"""`logs` shows calls in the order they came, and with `-f` those that come."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.unit.cli.commands.conftest import Run
from tests.unit.cli.scripted import Scripted

HELLO = {"_id": "f1", "name": "hello", "endpoint": "http://127.0.0.1:7701/run/ann/hello"}
SOURCE = Path(__file__).parents[4] / ".src"


def _call(number: int, status: str = "success", **more: Any) -> dict[str, Any]:
    return {
        "_id": f"e{number}",
        "executionId": f"e{number}",
        "status": status,
        "startTime": f"2026-11-23T20:00:{number:02}.000000Z",
        "duration": 1.25,
        "memoryUsed": 20.0,
        "logs": [{"level": "info", "message": f"[call] {number}", "timestamp": "2026-11-23T20:00:00Z"}],
        "error": None,
        **more,
    }


@pytest.fixture
def calls(signed_in: Scripted) -> list[dict[str, Any]]:
    """The calls that the platform tells of, oldest first; a test adds to them."""
    kept = [_call(1), _call(2, "error", error="ValueError: boom\n  at hello.py:3")]

    def tell(request: Request, _: bytes) -> Response:
        limit, status = int(request.query_params["limit"]), request.query_params.get("status")
        newest = sorted((call for call in kept if status in (None, call["status"])), key=lambda call: call["_id"])[::-1]
        return JSONResponse({"logs": newest[:limit], "nextCursor": None})

    signed_in.answers("GET", "/api/functions", {"functions": [HELLO]})
    signed_in.on["GET", "/api/logs/f1"] = tell
    return kept


@pytest.fixture
def following(calls: list[dict[str, Any]]) -> Iterator["subprocess.Popen[str]"]:
    """`logs hello -f --json` as a process of its own."""
    command = [sys.executable, "-m", "cloudserve.cli", "logs", "hello", "-f", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(SOURCE)}
    ) as process:
        yield process
        process.kill()


@pytest.mark.usefixtures("calls")
def test_calls_are_shown_oldest_first_with_what_they_printed(run: Run) -> None:
    """Brackets in a line are no markup; an error's lines are kept together."""
    lines = run("logs", "hello").stdout.splitlines()
    assert [line.split()[-1] for line in lines if "ms" in line] == ["e1", "e2"]
    assert "  info  [call] 1" in lines
    assert lines[-2:] == ["  ValueError: boom", "    at hello.py:3"]


@pytest.mark.usefixtures("calls")
def test_a_limit_and_a_status_choose(run: Run) -> None:
    """The newest ones, and only those that ended so."""
    assert [call["_id"] for call in json.loads(run("logs", "hello", "--limit", "1", "--json").stdout)["logs"]] == ["e2"]
    chosen = json.loads(run("logs", "hello", "--status", "success", "--json").stdout)["logs"]
    assert [call["_id"] for call in chosen] == ["e1"]


def test_a_function_that_was_never_called_has_none(run: Run, calls: list[dict[str, Any]]) -> None:
    """Standard output stays empty."""
    calls.clear()
    result = run("logs", "hello")
    assert (result.stdout, "No calls" in result.stderr) == ("", True)


def test_following_shows_each_call_once_a_slow_one_too(
    following: "subprocess.Popen[str]", calls: list[dict[str, Any]]
) -> None:
    """A call that began before others and ended after them is not missed; Ctrl-C ends it without an error."""
    assert following.stdout is not None
    assert [json.loads(following.stdout.readline())["_id"] for _ in range(2)] == ["e1", "e2"]
    calls.append(_call(4))
    assert json.loads(following.stdout.readline())["_id"] == "e4"
    calls.extend([_call(3), _call(5)])
    assert [json.loads(following.stdout.readline())["_id"] for _ in range(2)] == ["e3", "e5"]
    following.send_signal(signal.SIGINT)
    assert following.wait(30) == 0
