"""Sending mail. The embedded default sends none: what needs a mailed code is then off, and says so."""

from abc import ABC, abstractmethod
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """A mail to one person, in plain text and, where given, HTML."""

    to: str
    subject: str
    text: str
    html: str | None = None


class MailError(Exception):
    """The mail could not be handed over; nothing was sent."""


class Mailer(ABC):
    """Hands messages to whatever delivers them. `enabled` False means that nobody should be promised a mail."""

    enabled: bool = True

    @abstractmethod
    async def send(self, message: Message) -> None:
        """Returns when the message was accepted for delivery. Raises `MailError`."""


class NoMail(Mailer):
    """The platform without mail: accounts are verified as they are made."""

    enabled = False

    async def send(self, message: Message) -> None:
        """Raises `MailError`."""
        raise MailError(f"no mail server is configured, so {message.subject!r} was not sent")


class MemoryMailer(Mailer):
    """Keeps messages in `sent`, for tests."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    async def send(self, message: Message) -> None:
        """Keeps the message."""
        self.sent.append(message)
