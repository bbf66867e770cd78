"""Mail over SMTP: secured as configured, patient with what may pass, and never knowingly sent twice."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from cloudserve.core.mail import MailError, Message, UnusableMailer
from cloudserve.core.mail.smtp import Patience, SmtpMailer
from tests.servers.certificates import Authority, serving
from tests.servers.processes import free_port
from tests.servers.smtp_peer import BREAK_OFF, FALL_SILENT, STAGES, TAKE_TIME, Peer, peer

PASSWORD = "a password of the mail server's"
MESSAGE = Message(to="ada@example.com", subject="Hello", text="A code: 123456\n", html="<p>A code: 123456</p>")
REPLIES = tuple(stage for stage in STAGES if stage != "EHLO")  # a refused EHLO is no end: HELO is tried


def mailer_to(there: Peer, **more: Any) -> SmtpMailer:
    """Returns a mailer that hurries; without TLS unless it is told otherwise."""
    patience = more.pop("patience", Patience(pauses_seconds=(0, 0)))
    return SmtpMailer(
        more.pop("host", "127.0.0.1"),
        there.port,
        security=more.pop("security", "none"),
        sender="CloudServe <no-reply@example.org>",
        patience=patience,
        **more,
    )


async def error_of(mailer: SmtpMailer, message: Message = MESSAGE, *, retry: bool = True) -> str:
    """Returns why a mail could not be sent."""
    with pytest.raises(MailError) as failed:
        await mailer.send(message, retry=retry)
    return str(failed.value)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority that vouches for the servers of a test."""
    return Authority(tmp_path)


async def test_a_mail_is_handed_over_with_its_envelope() -> None:
    """From the sender's address to the recipient's; the names are in the headers."""
    async with peer() as there:
        await mailer_to(there).send(MESSAGE)
    [taken] = there.taken
    assert (taken.mail, taken.rcpt) == ("MAIL FROM:<no-reply@example.org>", "RCPT TO:<ada@example.com>")
    assert b"From: CloudServe <no-reply@example.org>\r\n" in taken.content


async def test_this_machine_s_own_name_is_not_told() -> None:
    """The server is greeted with the sender's domain."""
    async with peer() as there:
        await mailer_to(there).send(MESSAGE)
    assert there.heard[0] == "EHLO example.org"


async def test_lines_that_begin_with_a_dot_arrive() -> None:
    """One alone would end the message for the server."""
    async with peer() as there:
        await mailer_to(there).send(Message(to="ada@example.com", subject="Dots", text=".\n..\n.a\n"))
    assert there.taken[0].content.endswith(b"\r\n\r\n.\r\n..\r\n.a\r\n")


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_the_password_is_said_over_tls_alone(authority: Authority, security: str) -> None:
    """And so is the mail."""
    tls = serving(*authority.issue("127.0.0.1"))
    async with peer(tls=tls, implicit=security == "tls") as there:
        mailer = mailer_to(
            there, security=security, tls=authority.trusting(), username="ann", password=SecretStr(PASSWORD)
        )
        await mailer.send(MESSAGE)
    assert [taken.over_tls for taken in there.taken] == [True]
    signed_in = base64.b64encode(f"\0ann\0{PASSWORD}".encode()).decode()
    said = there.heard[there.heard.index("STARTTLS") :] if security == "starttls" else there.heard
    assert f"AUTH PLAIN {signed_in}" in said


async def test_without_starttls_nothing_is_said(authority: Authority) -> None:
    """Whoever cuts the offer from the server's greeting gets neither the mail nor the password."""
    async with peer() as there:
        mailer = mailer_to(
            there, security="starttls", tls=authority.trusting(), username="ann", password=SecretStr(PASSWORD)
        )
        assert "STARTTLS" in await error_of(mailer)
    assert there.heard == ["EHLO example.org"]


async def test_a_refused_starttls_is_no_reason_to_go_without(authority: Authority) -> None:
    """It is tried again, over TLS."""
    async with peer({"STARTTLS": ["454 not now"]}, tls=serving(*authority.issue("127.0.0.1"))) as there:
        await mailer_to(there, security="starttls", tls=authority.trusting()).send(MESSAGE)
    assert [taken.over_tls for taken in there.taken] == [True]
    assert there.sessions == 2


async def test_what_is_said_before_tls_does_not_count_after_it(authority: Authority) -> None:
    """Else whoever is on the way could answer in the server's place (RFC 3207, 6)."""
    script = {"STARTTLS": ["220 go ahead\r\n250-peer.example\r\n250 AUTH LOGIN"]}
    async with peer(script, extensions=(), tls=serving(*authority.issue("127.0.0.1"))) as there:
        mailer = mailer_to(
            there, security="starttls", tls=authority.trusting(), username="ann", password=SecretStr(PASSWORD)
        )
        assert "AUTH" in await error_of(mailer)
    assert not any(line.startswith("AUTH") for line in there.heard)


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("fault", ["an unknown authority", "another name"])
async def test_a_certificate_that_does_not_hold_ends_it(
    authority: Authority, tmp_path: Path, security: str, fault: str
) -> None:
    """At once: a second look would find no other."""
    (tmp_path / "other").mkdir()
    issuer = Authority(tmp_path / "other") if fault == "an unknown authority" else authority
    tls = serving(*issuer.issue("127.0.0.1" if fault == "an unknown authority" else "mail.example.org"))
    async with peer(tls=tls, implicit=security == "tls") as there:
        mailer = mailer_to(there, security=security, tls=authority.trusting())
        assert "can't be trusted" in await error_of(mailer)
    assert there.taken == []
    assert there.sessions <= 1  # where TLS comes first, there is none before it


async def test_a_port_that_speaks_no_tls_is_not_spoken_to() -> None:
    """`tls` on a port for STARTTLS is a fault of the settings."""
    async with peer() as there:
        assert "can't be trusted" in await error_of(mailer_to(there, security="tls"))
    assert there.taken == []
    assert there.sessions <= 1  # where TLS comes first, there is none before it


@pytest.mark.parametrize("stage", REPLIES)
async def test_what_may_pass_is_tried_again(stage: str) -> None:
    """A server that refuses for now is asked once more, and takes the mail once."""
    async with peer({stage: ["451 come back later"]}) as there:
        await mailer_to(there).send(MESSAGE)
    assert (len(there.taken), there.sessions) == (1, 2)


@pytest.mark.parametrize("stage", REPLIES)
async def test_what_will_not_pass_is_not_tried_again(stage: str) -> None:
    """The error has the server's words."""
    async with peer({stage: ["554 5.7.1 we don't know you\r\n"]}) as there:
        assert "554 5.7.1 we don't know you." in await error_of(mailer_to(there))
    assert (there.taken, there.sessions) == ([], 1)


@pytest.mark.parametrize("how", [BREAK_OFF, FALL_SILENT])
@pytest.mark.parametrize("stage", ["CONNECT", "EHLO", "MAIL", "RCPT"])
async def test_a_connection_that_breaks_before_the_message_is_made_again(stage: str, how: str) -> None:
    """Also when the server only falls silent."""
    patience = Patience(connect_seconds=0.3, hand_over_seconds=0.3, pauses_seconds=(0, 0))
    async with peer({stage: [how]}) as there:
        await mailer_to(there, patience=patience).send(MESSAGE)
    assert (len(there.taken), there.sessions) == (1, 2)


@pytest.mark.parametrize("how", [BREAK_OFF, FALL_SILENT])
@pytest.mark.parametrize("stage", ["DATA", "END"])
async def test_what_may_have_been_taken_is_not_sent_again(stage: str, how: str) -> None:
    """The error says that nobody knows."""
    patience = Patience(hand_over_seconds=0.3, pauses_seconds=(0, 0))
    async with peer({stage: [how]}) as there:
        assert "may or may not have taken the mail" in await error_of(mailer_to(there, patience=patience))
    assert there.sessions == 1


@pytest.mark.parametrize("how", [BREAK_OFF, "421 too busy to say goodbye"])
async def test_how_a_session_ends_changes_nothing(how: str) -> None:
    """The mail was taken before."""
    async with peer({"QUIT": [how]}) as there:
        await mailer_to(there).send(MESSAGE)
    assert (len(there.taken), there.sessions) == (1, 1)


async def test_patience_ends() -> None:
    """With the last of the reasons."""
    async with peer({"RCPT": ["450 one", "450 two", "450 three", "450 four"]}) as there:
        assert "450 three. The mail was not sent." in await error_of(mailer_to(there))
    assert (there.taken, there.sessions) == ([], 3)


async def test_who_waits_hears_of_the_first_failure() -> None:
    """Without `retry` nothing is tried again."""
    async with peer({"RCPT": ["450 one"]}) as there:
        assert "450 one" in await error_of(mailer_to(there), retry=False)
    assert there.sessions == 1


async def test_a_server_that_is_away_is_said_to_be() -> None:
    """With its name and port."""
    port = free_port()
    mailer = SmtpMailer(
        "127.0.0.1", port, security="none", sender="a@example.org", patience=Patience(pauses_seconds=(0,))
    )
    assert f"127.0.0.1:{port} can't be reached" in await error_of(mailer)


async def test_no_error_holds_the_password(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the server says to it, in whichever form."""
    plain = base64.b64encode(f"\0ann\0{PASSWORD}".encode()).decode()
    alone = base64.b64encode(PASSWORD.encode()).decode()
    reply = f"535 wrong: {PASSWORD} {plain} {alone}"
    async with peer({"AUTH": [reply, reply]}) as there:
        mailer = mailer_to(there, username="ann", password=SecretStr(PASSWORD))
        error = await error_of(mailer)
    assert "535 wrong: [redacted] [redacted] [redacted]" in error
    assert PASSWORD not in repr(mailer) + str(vars(mailer)) + caplog.text


async def test_a_server_s_words_can_t_break_the_log() -> None:
    """They come as one line of a bounded length."""
    async with peer({"RCPT": ["550-first\r\n550-\x1b[31msecond\r\n550 " + "x" * 2000]}) as there:
        error = await error_of(mailer_to(there))
    assert "550 first [31msecond xxx" in error
    assert error.isprintable()
    assert len(error) < 500


async def test_few_connections_at_once_and_few_mails_waiting() -> None:
    """A slow server is not overrun, and what it can't keep up with is refused instead of piling up."""
    async with peer({"CONNECT": [TAKE_TIME] * 5}) as there:
        mailer = mailer_to(there, patience=Patience(pauses_seconds=(), connections=2, mails=5))
        results = await asyncio.gather(*(mailer.send(MESSAGE) for _ in range(8)), return_exceptions=True)
        assert results[:5] == [None] * 5
        assert [str(result).partition(" already")[0] for result in results[5:]] == ["5 mails are"] * 3
        await mailer.send(MESSAGE)
    assert (there.most_at_once, len(there.taken)) == (2, 6)


async def test_what_has_waited_for_long_is_given_up() -> None:
    """A code that is about to end helps nobody; the server is not asked for it any more."""
    patience = Patience(hand_over_seconds=0.3, pauses_seconds=(), connections=1, give_up_seconds=0.1)
    async with peer({"MAIL": [FALL_SILENT]}) as there:
        mailer = mailer_to(there, patience=patience)
        results = await asyncio.gather(*(mailer.send(MESSAGE) for _ in range(2)), return_exceptions=True)
    assert "too slow" in str(results[1])
    assert (there.taken, there.sessions) == ([], 1)


async def test_a_domain_of_other_letters_goes_in_ascii() -> None:
    """By the rules of today, under which ß is a letter of its own, and without anything of the server."""
    async with peer() as there:
        await mailer_to(there).send(Message(to="ada@straße.example", subject="Hello", text="Hello"))
    assert there.taken[0].rcpt == "RCPT TO:<ada@xn--strae-oqa.example>"


async def test_other_letters_before_the_at_need_a_server_that_takes_them() -> None:
    """It says so with SMTPUTF8 (RFC 6531)."""
    message = Message(to="ädä@example.com", subject="Hello", text="Hello")
    async with peer(extensions=("SMTPUTF8",)) as there:
        await mailer_to(there).send(message)
    assert there.taken[0].mail.endswith(" SMTPUTF8")
    assert there.taken[0].rcpt == "RCPT TO:<ädä@example.com>"
    async with peer() as there:
        assert "other letters than ASCII" in await error_of(mailer_to(there), message)
    assert (there.taken, there.sessions) == ([], 1)


async def test_what_is_no_address_is_not_sent_to() -> None:
    """Not even a connection is made."""
    async with peer() as there:
        for to in ("ada", "ada@example.com\r\nBcc: eve@example.com", "ada@example.com> SIZE=1"):
            assert "not a mail address" in await error_of(mailer_to(there), Message(to=to, subject="x", text="x"))
    assert there.sessions == 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"host": ""}, "host"),
        ({"security": "ssl"}, "security"),
        ({"security": "none", "host": "mail.example.org"}, "unsafe_plaintext"),
        ({"security": "none", "host": "10.0.0.25"}, "unsafe_plaintext"),
        ({"username": "ann"}, "password"),
        ({"password": SecretStr("secret")}, "username"),
        ({"sender": ""}, "sender"),
        ({"sender": "CloudServe"}, "sender"),
        ({"sender": "a@example.org, b@example.org"}, "sender"),
        ({"sender": "ä@example.org"}, "sender"),
    ],
)
def test_what_can_t_work_or_is_not_safe_is_refused_at_once(change: dict[str, Any], named: str) -> None:
    """The error names the argument, and holds no secret."""
    arguments = {"host": "mail.example.org", "security": "starttls", "sender": "no-reply@example.org"} | change
    with pytest.raises(UnusableMailer, match=named) as refused:
        SmtpMailer(arguments.pop("host"), 587, **arguments)
    assert refused.value.argument in arguments.keys() | {"host", "password", "username"}
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "more"),
    [("127.0.0.1", {}), ("::1", {}), ("localhost", {}), ("relay.internal.example", {"unsafe_plaintext": True})],
)
def test_plain_text_is_for_this_machine_or_on_purpose(host: str, more: dict[str, Any]) -> None:
    """A relay on a network that one trusts may need it."""
    SmtpMailer(host, 25, security="none", sender="no-reply@example.org", **more)
