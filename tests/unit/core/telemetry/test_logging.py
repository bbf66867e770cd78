"""The log: JSON lines, with the request they belong to and without secrets."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from cloudserve.core.auth.tokens import new_api_key, new_session_token
from cloudserve.core.telemetry.logging import REDACTED, configure


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What the log is written to."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    target = io.StringIO()
    configure("info", target)
    yield target
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Returns what was logged."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_its_request(stream: io.StringIO) -> None:
    """Whether it came through structlog or through the standard library."""
    with structlog.contextvars.bound_contextvars(requestId="r1"):
        structlog.get_logger("a").info("hello", number=1)
        logging.getLogger("b").warning("hello %s", "again")
    first, second = lines(stream)
    assert first | {"timestamp": ""} == {
        "event": "hello", "number": 1, "requestId": "r1", "level": "info", "timestamp": "",
    }  # fmt: skip
    assert (second["event"], second["requestId"], second["level"]) == ("hello again", "r1", "warning")


def test_the_level_holds_for_both(stream: io.StringIO) -> None:
    """What is below it is not written."""
    structlog.get_logger("a").debug("no")
    logging.getLogger("b").debug("no")
    assert lines(stream) == []


def test_secrets_are_replaced_by_name(stream: io.StringIO) -> None:
    """At any depth."""
    structlog.get_logger("a").info(
        "request",
        headers={"Authorization": "Bearer x", "Cookie": "y", "api-key": "z", "accept": "text/html"},
        password="p",
        items=[{"secret": "s"}],
    )
    (line,) = lines(stream)
    assert line["headers"] == {
        "Authorization": REDACTED,
        "Cookie": REDACTED,
        "api-key": REDACTED,
        "accept": "text/html",
    }
    assert line["password"] == REDACTED
    assert line["items"] == [{"secret": REDACTED}]


def test_secrets_are_replaced_by_form(stream: io.StringIO) -> None:
    """Wherever they are: in a text, a message of the standard library, a trace."""
    key, session = new_api_key(), new_session_token()
    structlog.get_logger("a").info(f"used {key}", note=f"Authorization: Bearer {'t' * 20}")
    logging.getLogger("b").warning("cookie %s", session)
    try:
        raise ValueError(key)
    except ValueError:
        structlog.get_logger("a").exception("failed")
    text = stream.getvalue()
    assert "ValueError" in text
    for secret in (key, session, "t" * 20):
        assert secret not in text
    assert text.count(REDACTED) >= 3


def test_what_json_does_not_know_is_still_logged(stream: io.StringIO) -> None:
    """A log line never fails its caller."""
    structlog.get_logger("a").info("odd", value={1, 2}, kind=object, text="\ud800")
    assert lines(stream)[0]["event"] == "odd"
