"""Mail addresses as SMTP takes them, and the names they go by."""

from dataclasses import dataclass
from typing import Self

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, ValidatedEmail, validate_email

from cloudserve.core.mail.lines import one_line

# A platform of one's own may well be on a network of one's own; the library's list is meant to be changed so.
for _domain in ("local", "localhost", "test"):
    if _domain in SPECIAL_USE_DOMAIN_NAMES:
        SPECIAL_USE_DOMAIN_NAMES.remove(_domain)


def checked(text: str, *, named: bool = False) -> ValidatedEmail:
    """Returns the parts of a mail address, with `named` also of `Name <address>`. Asks no name server.

    Raises ValueError for anything else.
    """
    try:
        return validate_email(text, check_deliverability=False, globally_deliverable=False, allow_display_name=named)
    except EmailNotValidError as error:
        raise ValueError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mail address and the name it goes by, which may be empty (RFC 5322, 3.4).

    The domain is in ASCII (IDNA 2008, RFC 5891), as every server takes it; what is before the `@` is as it was given.
    """

    name: str
    local: str
    domain: str

    @classmethod
    def parse(cls, text: str, *, named: bool = False) -> Self:
        """Returns the mailbox that is written as an address, with `named` also as `Name <address>`.

        Raises ValueError for anything else.
        """
        found = checked(text, named=named)
        return cls(one_line(found.display_name or ""), found.local_part, found.ascii_domain)

    @property
    def address(self) -> str:
        """The address."""
        return f"{self.local}@{self.domain}"

    @property
    def is_international(self) -> bool:
        """Whether a server must know SMTPUTF8 (RFC 6531) to take it."""
        return not self.local.isascii()
