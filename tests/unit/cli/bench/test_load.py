"""Load whose every answer is checked."""

import os
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cloudserve.cli.bench import load
from cloudserve.cli.bench.calls import at_once, caller
from cloudserve.cli.bench.load import Target
from cloudserve.cli.output import CommandError


class Hello(BaseHTTPRequestHandler):
    """Answers `hello`, but every hundredth time as the path says."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    count = 0

    def do_GET(self) -> None:
        """Answers."""
        Hello.count += 1
        now = Hello.count % 100 == 0
        body = b"hullo" if now and self.path == "/other-body" else b"hello"
        self.send_response(500 if now and self.path == "/other-status" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Says nothing."""


class Server(ThreadingHTTPServer):
    """wrk leaves without a word when its time is up."""

    daemon_threads = True

    def handle_error(self, *_arguments: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """A server on loopback."""
    with Server(("127.0.0.1", 0), Hello) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def target(origin: str, path: str) -> Target:
    """Returns a target of the server."""
    return Target("the server", f"{origin}{path}", "hello", os.getpid())


def test_the_load_tells_how_much_was_answered(origin: str) -> None:
    """All of it rightly."""
    done = load.put(target(origin, "/"), connections=2, seconds=1)
    assert done.requests > 100
    assert done.per_second == pytest.approx(done.requests / done.seconds)
    assert 0 < done.p50_ms <= done.p99_ms


@pytest.mark.parametrize("path", ["/other-body", "/other-status"])
def test_one_wrong_answer_in_a_hundred_is_found(origin: str, path: str) -> None:
    """What answers wrongly is not measured."""
    with pytest.raises(CommandError, match=r"the server gave \d+ wrong answers") as raised:
        load.put(target(origin, path), connections=2, seconds=1)
    assert raised.value.reason == "wrong-answer"


def test_without_wrk_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is started."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(CommandError, match="apt install wrk"):
        load.require_wrk()


def test_single_calls_are_timed_and_checked(origin: str) -> None:
    """One after the other on one connection."""
    with caller(target(origin, "/")) as connection:
        assert connection.call(target(origin, "/")).ms > 0
        with pytest.raises(CommandError, match="answered 200 'hello' in place of 200 'hullo'"):
            connection.call(Target("the server", f"{origin}/", "hullo", os.getpid()))


def test_calls_at_once_are_timed_and_checked(origin: str) -> None:
    """Each on a connection of its own."""
    assert len(at_once(target(origin, "/"), 20)) == 20
    with pytest.raises(CommandError, match="in place of"):
        at_once(Target("the server", f"{origin}/", "hullo", os.getpid()), 5)
