"""A real mail server takes the mails and reads what was written."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from cloudserve.core.mail import MailError, Message
from cloudserve.core.mail.letter import ToCopy, letter
from cloudserve.core.mail.smtp import Patience, Security, SmtpMailer
from tests.servers.certificates import Authority
from tests.servers.smtp import PASSWORD, USERNAME, Mailpit, why_not

pytestmark = [pytest.mark.full, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]

MESSAGE = letter(
    to="ada@straße.example",
    subject="Grüße aus Zürich, with a subject that is long enough for a second line of the header",
    parts=["Hello Ada Lovelace <b>& Σία</b>,", "An answer:", ToCopy("123456"), ToCopy("word " * 60)],
    closing="CloudServe at https://faas.example.com",
)


@pytest.fixture(scope="module", params=["starttls", "tls", "none"])
def security(request: pytest.FixtureRequest) -> Security:
    """How the connection is secured."""
    chosen: Security = request.param
    return chosen


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that vouches for the server."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def running(security: Security, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailpit]:
    """A mail server of that kind, which asks for a sign-in where there is TLS."""
    certificate = None if security == "none" else authority.issue("localhost", "127.0.0.1")
    folder = tmp_path_factory.mktemp("mailpit")
    server = Mailpit(folder, security=security, certificate=certificate, signing_in=certificate is not None)
    server.start()
    yield server
    server.close()


@pytest.fixture
def server(running: Mailpit) -> Mailpit:
    """The same, without a mail."""
    running.forget()
    return running


def mailer_to(server: Mailpit, security: Security, authority: Authority, password: str = PASSWORD) -> SmtpMailer:
    """Returns a mailer with the server's settings."""
    signed_in = security != "none"
    return SmtpMailer(
        "127.0.0.1",
        server.port,
        security=security,
        username=USERNAME if signed_in else "",
        password=SecretStr(password if signed_in else ""),
        sender='"CloudServe, Zürich" <no-reply@example.org>',
        tls=authority.trusting(),
        patience=Patience(pauses_seconds=(0, 0)),
    )


async def test_it_reads_what_was_written(server: Mailpit, security: Security, authority: Authority) -> None:
    """The names, the subject, and both parts."""
    await mailer_to(server, security, authority).send(MESSAGE)
    mail = server.only_mail()
    assert mail["From"] == {"Name": "CloudServe, Zürich", "Address": "no-reply@example.org"}
    assert [to["Address"] for to in mail["To"]] == ["ada@xn--strae-oqa.example"]
    assert mail["Subject"] == MESSAGE.subject
    assert mail["Text"].replace("\r\n", "\n") == MESSAGE.text
    assert "Hello Ada Lovelace &lt;b&gt;&amp; Σία&lt;/b&gt;," in mail["HTML"]
    assert "123456" in mail["HTML"]
    assert server.headers(mail)["Auto-Submitted"] == ["auto-generated"]


async def test_what_it_refuses_for_now_arrives_later(server: Mailpit, security: Security, authority: Authority) -> None:
    """A refusal for good is told with its words."""
    mailer = mailer_to(server, security, authority)
    server.refuse("Recipient", 451)
    with pytest.raises(MailError, match="451"):
        await mailer.send(MESSAGE)
    server.refuse("Recipient", 550)
    with pytest.raises(MailError, match="550"):
        await mailer.send(MESSAGE)
    server.forget()
    await mailer.send(MESSAGE)
    assert server.only_mail()["Subject"] == MESSAGE.subject


async def test_a_wrong_password_sends_nothing(server: Mailpit, security: Security, authority: Authority) -> None:
    """The error has the server's words and not the password."""
    if security == "none":
        server.refuse("Sender", 530)
    mailer = mailer_to(server, security, authority, password="not the password")
    with pytest.raises(MailError, match=r": 5\d\d ") as failed:
        await mailer.send(Message(to="ada@example.com", subject="x", text="x"))
    assert "not the password" not in str(failed.value)
    assert server.mails() == []


async def test_it_may_be_started_again(server: Mailpit, security: Security, authority: Authority) -> None:
    """While it is away the error says so; afterwards mails arrive, without anything of ours being restarted."""
    mailer = mailer_to(server, security, authority)
    server.kill()
    with pytest.raises(MailError, match="can't be reached"):
        await mailer.send(MESSAGE)
    server.start()
    await mailer.send(MESSAGE)
    assert server.wait_for(MESSAGE.subject)
