"""Mail over SMTP (RFC 5321) to the server that delivers it: a relay, or a provider's submission port (RFC 6409).

The connection is what was configured or there is none: `starttls` (RFC 3207) to a server that offers no STARTTLS is an
error, never a mail in the clear, and certificates are verified against the system's authorities.

What can't be excluded: that a mail arrives twice, when a server takes it more than once by itself; and that one is lost
when the connection breaks after the message was written and before the server's answer was read. Nobody knows then
whether it was taken (RFC 1047), so it is not sent again, and the error says so.
"""

import asyncio
import base64
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Literal, get_args

import aiosmtplib
import structlog
from pydantic import SecretStr

from cloudserve.core.mail.abc import Mailer, MailError, Message, UnusableMailer
from cloudserve.core.mail.addresses import Mailbox
from cloudserve.core.mail.lines import one_line
from cloudserve.core.mail.mime import Envelope, compose
from cloudserve.core.models.base import utc_now

Security = Literal["starttls", "tls", "none"]

_GOODBYE_SECONDS: Final = 2.0
_REPLY_CHARACTERS: Final = 300

log = structlog.get_logger("cloudserve.mail")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a mailer waits, and how many wait with it.

    The times are far below the minutes of RFC 5321, 4.5.3.2: somebody waits for the code in the mail, and it ends.

    Args:
        connect_seconds: until the server's greeting.
        hand_over_seconds: for all of one attempt, the connection included.
        pauses_seconds: between attempts; one more attempt than there are pauses.
        give_up_seconds: after which no attempt begins: the code in a mail is then about to end.
        connections: at once.
        mails: under way or waiting, at once; further ones are refused.
    """

    connect_seconds: float = 10.0
    hand_over_seconds: float = 30.0
    pauses_seconds: tuple[float, ...] = (1.0, 5.0, 20.0, 60.0)
    give_up_seconds: float = 300.0
    connections: int = 4
    mails: int = 500


class SmtpMailer(Mailer):
    """Sends through one mail server, with a connection for each mail. Nothing needs to be opened or closed.

    Args:
        host: the server's name, which its certificate must be for, or its address.
        port: 587 is usual for `starttls`, 465 for `tls`, 25 for a relay.
        security: `starttls`, `tls` from the first byte (RFC 8314), or `none`, which is for this machine alone.
        username: whom to sign in as; empty for no sign-in.
        password: the user's.
        sender: whom mails come from, `no-reply@example.org` or `CloudServe <no-reply@example.org>`.
        unsafe_plaintext: allows `none` to another machine: mails, codes and the password are then anyone's on the way.
        tls: what certificates are verified with instead of the system's authorities.
        patience: times and bounds.

    Raises `UnusableMailer`, which names the argument, for what can't work or isn't safe.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        security: Security = "starttls",
        username: str = "",
        password: SecretStr | None = None,
        sender: str,
        unsafe_plaintext: bool = False,
        tls: ssl.SSLContext | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._password = password or SecretStr("")
        if not host:
            raise UnusableMailer("host", "is empty", "Set it to the mail server's name.")
        if security not in get_args(Security):
            raise UnusableMailer("security", f"is {security!r}", f"Choose one of {', '.join(get_args(Security))}.")
        if security == "none" and not (unsafe_plaintext or _is_loopback(host)):
            raise UnusableMailer(
                "security",
                f"is none, and everyone on the way to {host} could read the codes in the mails",
                "Choose starttls or tls, or allow it all the same with unsafe_plaintext.",
            )
        if username and not self._password.get_secret_value():
            raise UnusableMailer("password", "is missing beside the username", "Set it, or sign in without a username.")
        if self._password.get_secret_value() and not username:
            raise UnusableMailer("username", "is missing beside the password", "Set it, or leave the password out.")
        self._sender = _sender(sender)
        self._host, self._port, self._security, self._username = host, port, security, username
        self._tls = tls or ssl.create_default_context()
        self._patience = patience or Patience()
        self._connections = asyncio.Semaphore(self._patience.connections)
        self._under_way = 0

    async def send(self, message: Message, *, retry: bool = True) -> None:
        """Returns when the server has taken the message. Raises `MailError`."""
        envelope = compose(message, sender=self._sender, now=utc_now())
        if self._under_way >= self._patience.mails:
            raise MailError(f"{self._under_way} mails are already waiting for the mail server; this one was not sent.")
        self._under_way += 1
        try:
            await self._persist(envelope, self._patience.pauses_seconds if retry else ())
        finally:
            self._under_way -= 1

    async def _persist(self, envelope: Envelope, pauses: tuple[float, ...]) -> None:
        """Hands a mail over, again after each pause as long as what is in the way may pass."""
        until = time.monotonic() + self._patience.give_up_seconds
        for pause in (*pauses, None):
            try:
                async with self._connections:
                    if time.monotonic() > until:
                        raise MailError(
                            "The mail server is too slow: others were before this mail, which was not sent."
                        )
                    await self._hand_over(envelope)
            except _MayPass as failure:
                if pause is None:
                    raise MailError(f"{failure} The mail was not sent.") from None
                log.info("a mail is tried again", why=str(failure), seconds=pause)
                await asyncio.sleep(pause)
            else:
                return

    async def _hand_over(self, envelope: Envelope) -> None:
        """Makes one attempt. Raises `MailError`, or `_MayPass` when the server has surely not taken the mail."""
        client = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            use_tls=self._security == "tls",
            start_tls=self._security == "starttls",
            tls_context=self._tls,
            username=self._username or None,
            password=self._password.get_secret_value() if self._username else None,
            # Any name does (RFC 5321, 4.1.4); this machine's own is nobody's business and may need a name server.
            local_hostname=self._sender.domain,
            timeout=self._patience.hand_over_seconds,
        )
        written = False
        try:
            async with asyncio.timeout(self._patience.hand_over_seconds):
                await client.connect(timeout=self._patience.connect_seconds)
                await _address(client, envelope)
                written = True
                await client.data(envelope.content)
            await _say_goodbye(client)
        except (aiosmtplib.SMTPException, OSError) as error:
            # Not `from error`: its text is the server's own, and may repeat what was said to it.
            raise self._failure(error, written=written) from None
        finally:
            client.close()

    def _failure(self, error: Exception, *, written: bool) -> Exception:
        """Returns what a failed attempt comes to."""
        server = f"The mail server {self._host}:{self._port}"
        if isinstance(error, aiosmtplib.SMTPResponseException) and 400 <= error.code < 600:
            refusal = f"{server} refused the mail: {error.code} {self._without_secrets(error.message)}."
            return _MayPass(refusal) if error.code < 500 else MailError(refusal)
        why = self._without_secrets(str(error)) or "it took too long"
        if written:
            return MailError(f"{server} may or may not have taken the mail, which is not sent again: {why}.")
        cause = error if isinstance(error, ssl.SSLError) else error.__cause__
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return MailError(f"{server} can't be trusted, so no mail was sent: {self._without_secrets(str(cause))}.")
        if isinstance(error, OSError):
            return _MayPass(f"{server} can't be reached: {why}.")
        return MailError(f"{server} can't be used as configured, so no mail was sent: {why}.")

    def _without_secrets(self, reply: str) -> str:
        """Returns the start of what a server said, without the sign-in, which some repeat."""
        for secret in self._secrets():
            reply = reply.replace(secret, "[redacted]")
        return one_line(reply)[:_REPLY_CHARACTERS].removesuffix(".")

    def _secrets(self) -> Iterator[str]:
        """Yields the password, and what of AUTH PLAIN and AUTH LOGIN is as good as the password (RFC 4616)."""
        password = self._password.get_secret_value()
        if password:
            yield base64.b64encode(f"\0{self._username}\0{password}".encode()).decode()
            yield base64.b64encode(password.encode()).decode()
            yield password


class _MayPass(Exception):  # noqa: N818 - reads as what it is
    """An attempt failed before the server could take the mail, and the next one may not."""


async def _address(client: aiosmtplib.SMTP, envelope: Envelope) -> None:
    """Says from whom and to whom the mail is."""
    options = []
    if envelope.recipient.is_international:
        if client.is_ehlo_or_helo_needed:
            await client.ehlo()
        if not client.supports_extension("smtputf8"):
            raise aiosmtplib.SMTPNotSupported("it takes no addresses with other letters than ASCII before the @")
        options.append("SMTPUTF8")
    await client.mail(envelope.sender.address, options=options)
    await client.rcpt(envelope.recipient.address, encoding="utf-8")


async def _say_goodbye(client: aiosmtplib.SMTP) -> None:
    """Ends a session whose mail was taken: nothing that goes wrong now changes that."""
    with suppress(aiosmtplib.SMTPException, OSError):
        await client.quit(timeout=_GOODBYE_SECONDS)


def _sender(text: str) -> Mailbox:
    form = "Write it like no-reply@example.org or CloudServe <no-reply@example.org>."
    if not text:
        raise UnusableMailer("sender", "is missing", form)
    try:
        sender = Mailbox.parse(text, named=True)
    except ValueError as error:
        raise UnusableMailer("sender", f"is {text!r}: {str(error).removesuffix('.')}", form) from error
    if sender.is_international:
        raise UnusableMailer("sender", f"is {text!r}, with other letters than ASCII before the @", form)
    return sender


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
