"""The contract of sending mail."""

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
    """The mail was not handed over, or nobody can tell whether it was; its text says which, and holds no secret."""


class UnusableMailer(ValueError):  # noqa: N818 - reads as what it is
    """A mailer can't be made of an argument: what is wrong with it, and what to do. Holds no secret."""

    def __init__(self, argument: str, message: str, remedy: str) -> None:
        super().__init__(f"{argument} {message}. {remedy}")
        self.argument = argument
        self.message = message
        self.remedy = remedy


class Mailer(ABC):
    """Hands messages to whatever delivers them. `enabled` False means that nobody should be promised a mail.

    A mailer knows of no account: it may be called for one that there is and for one that there is not, from behind a
    request, so that the answer tells nothing of either.
    """

    enabled: bool = True

    @abstractmethod
    async def send(self, message: Message, *, retry: bool = True) -> None:
        """Returns when the message was accepted for delivery. Raises `MailError`.

        With `retry`, what may pass is tried again for a while, but nothing that may have been accepted: no mail is
        knowingly sent twice. Without, whoever waits hears of the first failure.
        """
