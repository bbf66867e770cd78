"""The administrator's handler, against a platform that is played by a small HTTP server."""

import json
import stat
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cloudserve.core.auth.proof import prove
from pulumi_cloudserve.provider.administrator import KEPT, AdministratorHandler
from pulumi_cloudserve.provider.credentials import MACHINE_KEY
from pulumi_cloudserve.provider.framework import Context, ResourceError

MACHINE = "csk_machine"


class Platform:
    """What `/api/admin/administrator` does, and what it was sent."""

    def __init__(self) -> None:
        self.account: dict[str, Any] | None = None
        self.changed = {"passwordChanged": False, "keyChanged": False}
        self.refusal: dict[str, Any] | None = None
        self.key: str | None = MACHINE
        self.keys_seen: set[str] = set()
        platform = self

        class Answers(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path.startswith("/healthz?nonce="):
                    nonce = self.path.partition("=")[2]
                    key = platform.key
                    self._answer(200, {"proof": prove(key, nonce, platform.server.server_port) if key else None})
                    return
                platform.keys_seen.add(self.headers["authorization"])
                assert self.headers["authorization"] == f"Bearer {MACHINE}"
                if platform.account is None:
                    self._answer(404, {"message": "There is none."})
                else:
                    self._answer(200, {"user": platform.account, **platform.changed})

            def do_POST(self) -> None:
                platform.keys_seen.add(self.headers["authorization"])
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if platform.refusal:
                    self._answer(422, platform.refusal)
                    return
                created = platform.account is None
                platform.account = platform.account or {"_id": "u1", "email": body["email"]}
                self._answer(200, {"created": created, **({"apiKey": body["apiKey"]} if created else {})})

            def _answer(self, status: int, document: dict[str, Any]) -> None:
                content = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def platform() -> Iterator[Platform]:
    made = Platform()
    yield made
    made.close()


@pytest.fixture
def inputs(platform: Platform, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / MACHINE_KEY).write_text(MACHINE)
    return {
        "url": f"http://127.0.0.1:{platform.server.server_port}",
        "credentials": str(tmp_path),
        "email": "ada@example.org",
        "userName": "ada",
        "fullName": "Ada",
    }


CONTEXT = Context("urn:pulumi:dev::cloudserve::cloudserve:local:Administrator::a", say=lambda text: None)


def test_makes_the_account_and_keeps_what_opens_it(inputs: dict[str, Any], tmp_path: Path) -> None:
    """Password and key are outputs, and in a file that only its owner reads."""
    made, outputs = AdministratorHandler().create(inputs, CONTEXT)
    assert made == "u1"
    assert outputs["address"] == "ada@example.org"
    assert outputs["apiKey"].startswith("csk_")
    assert (outputs["passwordStale"], outputs["apiKeyStale"]) == (False, False)
    assert json.loads((tmp_path / KEPT).read_text())["password"] == outputs["password"]
    assert stat.S_IMODE((tmp_path / KEPT).stat().st_mode) == 0o600


def test_an_account_that_was_kept_has_the_same_password_and_key(inputs: dict[str, Any]) -> None:
    """Also when `create` was interrupted and is done again."""
    first = AdministratorHandler().create(inputs, CONTEXT)
    assert AdministratorHandler().create(inputs, CONTEXT) == first


def test_what_its_owner_has_changed_is_marked_stale(inputs: dict[str, Any], platform: Platform) -> None:
    """And breaks nothing: the provider has a key of its own."""
    _, outputs = AdministratorHandler().create(inputs, CONTEXT)
    platform.changed = {"passwordChanged": True, "keyChanged": True}
    seen = AdministratorHandler().read({**inputs, **outputs}, CONTEXT)
    assert seen is not None
    assert (seen["passwordStale"], seen["apiKeyStale"]) == (True, True)


def test_an_account_that_is_gone_is_made_again(inputs: dict[str, Any], platform: Platform) -> None:
    """As on an emptied database."""
    _, outputs = AdministratorHandler().create(inputs, CONTEXT)
    platform.account = None
    assert AdministratorHandler().read({**inputs, **outputs}, CONTEXT) is None


def test_a_platform_that_is_away_changes_nothing(inputs: dict[str, Any]) -> None:
    """`destroy` and `up` of a dead platform look at the administrator first."""
    _, outputs = AdministratorHandler().create(inputs, CONTEXT)
    away = {**inputs, **outputs, "url": "http://127.0.0.1:9"}
    assert AdministratorHandler().read(away, CONTEXT) == outputs


def test_a_changed_address_is_refused_with_the_setting(inputs: dict[str, Any]) -> None:
    """The account's data are its owner's; the setting only tells how it is made."""
    _, outputs = AdministratorHandler().create(inputs, CONTEXT)
    with pytest.raises(ResourceError, match="cloudserve:adminEmail is only used when"):
        AdministratorHandler().update({**inputs, **outputs}, {**inputs, "email": "bob@example.org"}, CONTEXT)


def test_a_refusal_of_the_platform_is_told_in_its_words(inputs: dict[str, Any], platform: Platform) -> None:
    """Such as a user name it does not take."""
    platform.refusal = {"message": "This is no user name."}
    with pytest.raises(ResourceError, match="This is no user name"):
        AdministratorHandler().create(inputs, CONTEXT)


@pytest.mark.parametrize("key", [None, "csk_another"])
def test_sends_the_key_to_nobody_who_does_not_know_it(
    platform: Platform, inputs: dict[str, Any], key: str | None
) -> None:
    """Such as whoever took the port while the platform was down."""
    _, outputs = AdministratorHandler().create(inputs, CONTEXT)
    platform.key, platform.keys_seen = key, set()
    with pytest.raises(ResourceError, match="is not this platform"):
        AdministratorHandler().create(inputs, CONTEXT)
    assert AdministratorHandler().read({**inputs, **outputs}, CONTEXT) == outputs
    assert platform.keys_seen == set()


def test_sends_the_key_to_nobody_who_passes_the_question_on(platform: Platform, inputs: dict[str, Any]) -> None:
    """The proof is of the port too: a listener elsewhere gains nothing from the platform's answers."""
    asked = []

    class Between(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(self.headers["authorization"])
            with urllib.request.urlopen(f"{inputs['url']}{self.path}") as answer:
                content = answer.read()
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Between) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        with pytest.raises(ResourceError, match="is not this platform"):
            AdministratorHandler().create({**inputs, "url": f"http://127.0.0.1:{server.server_port}"}, CONTEXT)
        server.shutdown()
        thread.join()
    assert asked == [None]
