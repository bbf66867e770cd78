"""Reading a message as mail programs do."""

from email import policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import parseaddr


def read(content: bytes) -> EmailMessage:
    """Returns a message."""
    return BytesParser(EmailMessage, policy=policy.default).parsebytes(content)


def sender_of(content: bytes) -> tuple[str, str]:
    """Returns the name and the address of a message's sender.

    The library's newer parser puts spaces between the encoded words of a name, which a reader must not (RFC 2047, 6.2).
    """
    name, address = parseaddr("".join(BytesParser(policy=policy.compat32).parsebytes(content)["From"].splitlines()))
    return str(make_header(decode_header(name))), address
