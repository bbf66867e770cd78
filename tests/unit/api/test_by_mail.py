"""What people do with the mails of a platform, read back from a real mail server."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudserve.core.mail.smtp import SmtpMailer
from tests.servers.smtp import Mailpit, why_not
from tests.unit.api.support import PASSWORD, Platform, running

pytestmark = [pytest.mark.full, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]

ADA = {"fullName": "Ada Lovelace, Zürich 関数", "userName": "ada", "email": "ada@example.com", "password": PASSWORD}
NEW = "another good password"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailpit]:
    """A mail server."""
    server = Mailpit(tmp_path_factory.mktemp("mailpit"), security="none")
    server.start()
    yield server
    server.close()


@pytest.fixture
def server(started: Mailpit) -> Mailpit:
    """The same, without a mail."""
    started.forget()
    return started


def mailer_to(server: Mailpit) -> SmtpMailer:
    """Returns a mailer with the server's settings."""
    return SmtpMailer("127.0.0.1", server.port, security="none", sender="CloudServe <no-reply@example.org>")


async def mail_of(platform: Platform, server: Mailpit, subject: str) -> dict[str, Any]:
    """Returns the newest mail of a subject, once all are sent."""
    await platform.service.context.background.settle()
    return next(mail for mail in server.mails() if mail["Subject"] == subject)


def code_in(mail: dict[str, Any]) -> str:
    """Returns the code of a mail, which is the same in both parts."""
    [in_text] = re.findall(r"^ {4}(\d{6})\r?$", mail["Text"], re.MULTILINE)
    [in_html] = re.findall(r">(\d{6})<", mail["HTML"])
    assert in_text == in_html
    return str(in_text)


async def test_from_sign_up_to_a_forgotten_password(tmp_path: Path, server: Mailpit) -> None:
    """Sign up, read the code, verify, log in; forget the password, read the code, choose another, be told of it."""
    async with running(tmp_path, mailer=mailer_to(server)) as platform:
        http = platform.client()
        assert (await http.post("/api/auth/signup", json=ADA)).status_code == 201
        code = code_in(await mail_of(platform, server, "Verify your mail address"))
        body = {"email": "ada@example.com", "code": code}
        assert (await http.post("/api/auth/verify", json=body)).status_code == 200
        login = {"email": "ada@example.com", "password": PASSWORD}
        assert (await http.post("/api/auth/login", json=login)).status_code == 200

        assert (await http.post("/api/auth/forgot-password", json={"email": "ada@example.com"})).status_code == 200
        mail = await mail_of(platform, server, "Reset your password")
        assert "Hello Ada Lovelace, Zürich 関数," in mail["Text"]
        body = {"email": "ada@example.com", "code": code_in(mail), "password": NEW}
        assert (await http.post("/api/auth/reset-password", json=body)).status_code == 200
        assert (await http.post("/api/auth/login", json=login)).status_code == 401
        assert (await http.post("/api/auth/login", json=login | {"password": NEW})).status_code == 200
        assert (await mail_of(platform, server, "Your password was changed"))["To"][0]["Address"] == "ada@example.com"


async def test_an_address_that_has_an_account_is_told_so(tmp_path: Path, server: Mailpit) -> None:
    """And nobody else is."""
    async with running(tmp_path, mailer=mailer_to(server)) as platform:
        http = platform.client()
        first = await http.post("/api/auth/signup", json=ADA)
        second = await http.post("/api/auth/signup", json=ADA | {"userName": "eve"})
        assert (first.status_code, second.status_code) == (201, 201)
        assert (await mail_of(platform, server, "You have an account already"))["To"][0]["Address"] == ADA["email"]


async def test_from_an_invitation_to_an_account(tmp_path: Path, server: Mailpit) -> None:
    """An administrator invites; the command in the mail has all that a sign-up needs."""
    async with running(tmp_path, signup="invite", mailer=mailer_to(server)) as platform:
        root = {"email": "root@example.com", "userName": "admin", "fullName": "Root", "password": PASSWORD}
        made = await platform.with_key(platform.credentials.machine_key).post("/api/admin/administrator", json=root)
        http = platform.with_key(made.json()["apiKey"])
        assert (await http.post("/api/admin/invitations", json={"email": ADA["email"]})).json()["mailed"] is True
        mail = await mail_of(platform, server, "You are invited")
        [line] = [line.strip() for line in mail["Text"].splitlines() if line.startswith("    ")]
        words = shlex.split(line)
        assert words[:6] == ["cloudserve", "signup", "--url", platform.settings.url, "--email", ADA["email"]]
        guest = platform.client()
        assert (await guest.post("/api/auth/signup", json=ADA)).status_code == 403
        assert (await guest.post("/api/auth/signup", json=ADA | {"invitation": words[-1]})).status_code == 201
        code = code_in(await mail_of(platform, server, "Verify your mail address"))
        body = {"email": ADA["email"], "code": code}
        assert (await guest.post("/api/auth/verify", json=body)).status_code == 200
