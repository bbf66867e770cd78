"""Whatever is written into a message, it stays where it was written."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from cloudserve.core.mail import Message
from cloudserve.core.mail.addresses import Mailbox
from cloudserve.core.mail.lines import one_line
from cloudserve.core.mail.mime import compose
from tests.unit.core.mail.reading import read, sender_of

NOW = datetime(2026, 11, 24, tzinfo=UTC)
HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted"]
BODY_HEADERS = {"Content-Type", "Content-Transfer-Encoding", "MIME-Version"}

# Whatever a person or an attacker could type, with what means something in headers more often than chance has it.
TEXTS = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(["\r\n", "\n", "\r", "\r\nBcc: eve@example.com\r\n", "=?utf-8?q?", "?=", "\x00"]),
    ),
    max_size=6,
).map("".join)


@given(subject=TEXTS, name=TEXTS, text=TEXTS, html=TEXTS)
def test_no_text_becomes_a_header(subject: str, name: str, text: str, html: str) -> None:
    """Neither a subject, nor the sender's name, nor a part of the body; what was written is read again."""
    message = Message(to="ada@example.com", subject=subject, text=text, html=html)
    content = compose(message, sender=Mailbox(one_line(name), "no-reply", "example.org"), now=NOW).content
    found = read(content)
    names = list(found.keys())
    assert names[: len(HEADERS)] == HEADERS
    assert set(names[len(HEADERS) :]) <= BODY_HEADERS
    assert found["Subject"] == one_line(subject)
    assert sender_of(content) == (one_line(name), "no-reply@example.org")
    assert [part.get_content_type() for part in found.iter_parts()] == ["text/plain", "text/html"]


@given(to=TEXTS)
def test_no_address_becomes_a_header_or_a_command(to: str) -> None:
    """What is no address is refused; what is one stays one, in ASCII but for what is before the `@`."""
    try:
        recipient = Mailbox.parse(to)
    except ValueError:
        return
    assert recipient.domain.isascii()
    assert one_line(recipient.address) == recipient.address
    assert not set(recipient.address) & set(' <>,;"')


@given(text=TEXTS)
def test_one_line_is_one_line(text: str) -> None:
    """For every reader's idea of a line, and it stays so."""
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert one_line(line) == line
