"""What callers are told when a function gives no answer, and in the envelope of the original CloudServe."""

import base64

import pytest

from cloudserve.sandbox.abc import Answer, Call, ColdStart, Deployment, LogEntry, Outcome
from tests.unit.gateway.support import Platform, Script, WholeAnswer, failure

ENVELOPE = "application/vnd.cloudserve.result+json"


def failing(status: int, reason: str, component: str = "function", **more: object) -> Script:
    """Returns a script that fails."""

    async def script(_deployment: Deployment, _call: Call) -> Answer:
        raise failure(status, "secret words", reason=reason, component=component, **more)

    return script


@pytest.mark.parametrize(
    ("status", "component", "reason"),
    [
        (500, "function", "exception"),
        (500, "function", "load-failed"),
        (502, "function", "crash"),
        (502, "function", "out-of-memory"),
        (504, "function", "timeout"),
        (503, "queue", "overloaded"),
    ],
)
async def test_a_failure_is_a_problem_with_its_component_and_reason(
    platform: Platform, status: int, component: str, reason: str
) -> None:
    """Its owner reads the message; the record has the stack."""
    owner = await platform.owner()
    function = await platform.function(owner)
    key = await platform.key(owner)
    platform.scripted.script = failing(status, reason, component)
    answer = await platform.functions.get("/run/alice/hello", headers={"api-key": key})
    problem = answer.json()
    assert answer.status_code == problem["status"] == status
    assert (problem["component"], problem["reason"], problem["message"]) == (component, reason, "secret words")
    assert problem["requestId"] == answer.headers["x-cloudserve-execution-id"]
    [usage], [log] = await platform.records(function)
    assert (usage.id, usage.status_code) == (problem["requestId"], status)
    assert log.error == "secret words\n  at secret.js:1"
    assert log.reason == reason
    assert [line.message for line in log.logs] == ["it went wrong"]


async def test_a_stranger_reads_no_word_of_the_function(platform: Platform) -> None:
    """What a function says when it fails is for its owner; on a public function with the owner's key, too."""
    owner = await platform.owner()
    await platform.function(owner, public=True)
    key = await platform.key(owner)
    platform.scripted.script = failing(500, "exception")
    stranger = await platform.functions.get("/run/alice/hello")
    assert stranger.status_code == 500
    assert "secret" not in stranger.text
    assert stranger.json()["reason"] == "exception"
    assert (await platform.functions.get("/run/alice/hello", headers={"api-key": key})).json()["message"] == (
        "secret words"
    )


async def test_an_overloaded_function_says_when_to_try_again(platform: Platform) -> None:
    """Retry-After is the sandbox's."""
    await platform.function(await platform.owner(), public=True)
    platform.scripted.script = failing(503, "overloaded", "queue", retry_after=7)
    answer = await platform.functions.get("/run/alice/hello")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")


async def test_a_bug_of_the_gateway_is_a_500_that_tells_nothing(platform: Platform) -> None:
    """The log has it."""
    await platform.function(await platform.owner(), public=True)

    async def script(_deployment: Deployment, _call: Call) -> Answer:
        raise RuntimeError("inner secret")

    platform.scripted.script = script
    answer = await platform.functions.get("/run/alice/hello")
    assert (answer.status_code, answer.json()["reason"]) == (500, "internal")
    assert "inner secret" not in answer.text


async def test_text_that_no_encoding_holds_is_recorded_all_the_same(platform: Platform) -> None:
    """A lone surrogate, as JavaScript makes them."""
    function = await platform.function(await platform.owner(), public=True)
    outcome = Outcome("error", 1, 1, logs=[LogEntry(1, "info", "a\ud800b")], error="\udfff", cold=ColdStart(1, 1, 1))

    async def script(_deployment: Deployment, _call: Call) -> Answer:
        return WholeAnswer(outcome=outcome)

    platform.scripted.script = script
    assert (await platform.functions.get("/run/alice/hello")).status_code == 200
    _, [log] = await platform.records(function)
    assert log.logs[0].message == "a?b"


@pytest.mark.parametrize(
    ("kind", "body", "result"),
    [
        (b"application/json", b'{"a": [1, null]}', {"a": [1, None]}),
        (b"application/problem+json; charset=utf-8", b"7", 7),
        (b"application/json", b"{broken", "{broken"),
        (b"text/plain", "grüezi".encode(), "grüezi"),
        (b"image/png", b"\xff\x00", base64.b64encode(b"\xff\x00").decode()),
        (b"text/plain", b"", None),
    ],
)
async def test_the_envelope_holds_the_result(platform: Platform, kind: bytes, body: bytes, result: object) -> None:
    """JSON as JSON, text as text, bytes in base 64, nothing as null."""
    owner = await platform.owner()
    await platform.function(owner)
    key = await platform.key(owner)
    outcome = Outcome("success", 1, 42.5, logs=[LogEntry(1_700_000_000, "info", "hi")])

    async def script(_deployment: Deployment, _call: Call) -> Answer:
        return WholeAnswer(201, [(b"content-type", kind)], body, outcome=outcome)

    platform.scripted.script = script
    answer = await platform.functions.get("/run/alice/hello", headers={"api-key": key, "Accept": ENVELOPE})
    assert (answer.status_code, answer.headers["content-type"]) == (201, ENVELOPE)
    assert answer.json() == {
        "success": True,
        "result": result,
        "logs": [{"level": "info", "message": "hi", "timestamp": "2023-11-14T22:13:20Z"}],
        "memoryUsage": 42.5,
        "error": None,
    }


async def test_the_envelope_of_a_failure_has_the_error_and_the_status(platform: Platform) -> None:
    """Logs and message for the owner; a stranger gets neither."""
    owner = await platform.owner()
    await platform.function(owner, public=True)
    key = await platform.key(owner)
    platform.scripted.script = failing(504, "timeout")
    mine = await platform.functions.get("/run/alice/hello", headers={"api-key": key, "Accept": ENVELOPE})
    assert mine.status_code == 504
    assert (mine.json()["success"], mine.json()["error"]) == (False, "secret words")
    assert [line["message"] for line in mine.json()["logs"]] == ["it went wrong"]
    theirs = await platform.functions.get("/run/alice/hello", headers={"Accept": ENVELOPE})
    assert theirs.json()["logs"] == []
    assert "secret" not in theirs.text
