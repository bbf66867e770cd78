"""A message as it goes over the wire: RFC 5322 headers, and a body of a text and an HTML part.

Nothing in a message can become a header: what goes into one is brought into one line first (`one_line`), and addresses
are parsed, never copied. The headers are written here and not by `EmailMessage`, which encodes an address of more than
78 characters as if it were a name and leaves it undeliverable.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import Final

from cloudserve.core.mail.abc import MailError, Message
from cloudserve.core.mail.addresses import Mailbox
from cloudserve.core.mail.lines import one_line

_LINE: Final = 76  # RFC 2045, 6.7 and RFC 2047, 2
_BODY: Final = SMTP.clone(max_line_length=_LINE)
_ATOMS: Final = re.compile(r"[A-Za-z0-9 ]+")


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is handed to a server: from whom, to whom, and the message itself.

    It is composed once, and stays the same, with its Message-ID, however often it is handed over.
    """

    sender: Mailbox
    recipient: Mailbox
    content: bytes


def compose(message: Message, *, sender: Mailbox, now: datetime) -> Envelope:
    """Returns a message as it is handed over. Raises `MailError` when `to` is no mail address."""
    try:
        recipient = Mailbox.parse(message.to)
    except ValueError as error:
        raise MailError(f"This is not a mail address: {error}") from error
    headers = {
        "From": _named(sender),
        "To": recipient.address,
        "Subject": _header(one_line(message.subject), "Subject").encode(linesep="\r\n"),
        "Date": format_datetime(now),
        "Message-ID": make_msgid(domain=sender.domain),
        "Auto-Submitted": "auto-generated",  # RFC 3834, 5: nobody's absence is told to a machine
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return Envelope(sender, recipient, head.encode() + _body(message).as_bytes())


def _body(message: Message) -> EmailMessage:
    body = EmailMessage(_BODY)
    body.set_content(message.text, cte="quoted-printable")
    if message.html is not None:
        body.add_alternative(message.html, subtype="html", cte="quoted-printable")
    return body


def _named(mailbox: Mailbox) -> str:
    if not mailbox.name:
        return mailbox.address
    header = _header(mailbox.name, "From")
    header.append(f"<{mailbox.address}>", "us-ascii")
    return header.encode(linesep="\r\n")


def _header(text: str, name: str) -> Header:
    """Returns a text in the form that headers take: plain words as they are, all else encoded (RFC 2047), folded."""
    return Header(text, None if _ATOMS.fullmatch(text) else "utf-8", maxlinelen=_LINE, header_name=name)
