"""A message as it goes over the wire."""

from datetime import UTC, datetime
from email.message import EmailMessage

from cloudserve.core.mail import Message
from cloudserve.core.mail.addresses import Mailbox
from cloudserve.core.mail.mime import compose
from tests.unit.core.mail.reading import read, sender_of

NOW = datetime(2026, 11, 24, 3, 17, 5, tzinfo=UTC)
SENDER = Mailbox("CloudServe", "no-reply", "example.org")


def read_back(message: Message) -> EmailMessage:
    """Returns a message as a mail program reads it."""
    return read(compose(message, sender=SENDER, now=NOW).content)


def test_the_headers_say_who_when_and_that_it_was_a_machine() -> None:
    """And nothing about lists, from which nobody could unsubscribe."""
    found = read_back(Message(to="ada@example.com", subject="Hello", text="Hello\n"))
    assert found["From"] == "CloudServe <no-reply@example.org>"
    assert found["To"] == "ada@example.com"
    assert found["Date"].datetime == NOW
    assert found["Message-ID"].endswith("@example.org>")
    assert found["Auto-Submitted"] == "auto-generated"
    assert not any(name.lower().startswith("list-") for name in found)


def test_every_mail_has_an_id_of_its_own() -> None:
    """By which servers and mail programs tell a repetition."""
    message = Message(to="ada@example.com", subject="Hello", text="Hello\n")
    assert read_back(message)["Message-ID"] != read_back(message)["Message-ID"]


def test_text_comes_before_html() -> None:
    """The last part that a program can show is the one it shows (RFC 2046, 5.1.4)."""
    found = read_back(Message(to="ada@example.com", subject="Hello", text="Grüße\n", html="<p>Grüße</p>\n"))
    assert found.get_content_type() == "multipart/alternative"
    parts = [(part.get_content_type(), part.get_content()) for part in found.iter_parts()]
    assert parts == [("text/plain", "Grüße\r\n"), ("text/html", "<p>Grüße</p>\r\n")]


def test_a_long_address_stays_whole() -> None:
    """Longer than a line, and undeliverable if it were folded or encoded."""
    address = "a" * 64 + "@" + ".".join(["b" * 59] * 3) + ".example"
    found = read_back(Message(to=address, subject="Hello", text="Hello\n"))
    assert found["To"] == address


def test_names_may_be_long_and_in_any_script() -> None:
    """Also with the signs that mean something in a header."""
    for name in ('Functions, "Inc." <of> (Zürich); a@b', "関数の雲" * 25, "Grüße " * 20, "plain words " * 12):
        sender = Mailbox(name.strip(), "no-reply", "example.org")
        content = compose(Message(to="ada@example.com", subject=name, text="x\n"), sender=sender, now=NOW).content
        assert sender_of(content) == (name.strip(), "no-reply@example.org")
        assert read(content)["Subject"] == name.strip()


def test_no_line_is_longer_than_servers_take() -> None:
    """78 characters in what could be folded (RFC 5322, 2.1.1)."""
    text = "ä" * 500 + "\n" + "a" * 2000 + "\n"
    content = compose(Message(to="ada@example.com", subject="Grüße " * 30, text=text), sender=SENDER, now=NOW).content
    assert max(len(line) for line in content.split(b"\r\n")) <= 78
    assert b"\n" not in content.replace(b"\r\n", b"")
