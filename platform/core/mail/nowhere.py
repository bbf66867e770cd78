"""No mail, the embedded default: what needs a mailed code is then off, and says so."""

from cloudserve.core.mail.abc import Mailer, MailError, Message


class NoMail(Mailer):
    """The platform without mail: accounts are verified as they are made."""

    enabled = False

    async def send(self, message: Message, *, retry: bool = True) -> None:
        """Raises `MailError`."""
        raise MailError(f"no mail server is configured, so {message.subject!r} was not sent")
