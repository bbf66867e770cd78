"""The mails that the control plane sends, all of them behind the answer to a request.

Whoever asks neither waits for the mail server nor learns from the answer, or from how long it takes, whether there was
anybody to write to.
"""

import asyncio
from typing import Final

import structlog

from cloudserve.api import letters
from cloudserve.api.context import Context
from cloudserve.core.auth.codes import Purpose
from cloudserve.core.errors import Problem
from cloudserve.core.mail import MailError, Message
from cloudserve.core.models.base import utc_now
from cloudserve.core.models.owner import Owner

_WITH_CODE: Final = {"verify": letters.verification, "reset": letters.reset}

log = structlog.get_logger("cloudserve.api")


async def send(context: Context, message: Message) -> None:
    """Sends a mail that nobody waits for: what goes wrong is logged."""
    try:
        await context.mailer.send(message)
    except MailError as error:
        log.warning("a mail was not sent", subject=message.subject, why=str(error))
    except asyncio.CancelledError:
        log.warning("a mail was not sent", subject=message.subject, why="The platform ended before it could be.")
        raise


async def send_code(context: Context, owner: Owner, purpose: Purpose) -> None:
    """Mails a fresh code to an account that has a mail address."""
    if owner.email is not None:
        code = await context.codes.issue(owner.id, purpose)
        await send(context, _WITH_CODE[purpose](owner, code, to=owner.email, url=context.settings.url))


def tell_of_password(context: Context, owner: Owner) -> None:
    """Tells the owner of an account, where the platform sends mail, that its password has just been changed."""
    if context.mailer.enabled and owner.email is not None:
        when = owner.password_changed_at or utc_now()
        letter = letters.password_changed(owner, when, to=owner.email, url=context.settings.url)
        context.background.start(send(context, letter))


def check_mail(context: Context) -> None:
    """Raises the 409 on a platform that sends no mail."""
    if not context.mailer.enabled:
        raise Problem(
            409,
            "This platform sends no mail, so there are no codes. Ask its administrator for help.",
            reason="mail-off",
        )
