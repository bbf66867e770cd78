"""The mails that the control plane sends."""

from cloudserve.api.context import Context
from cloudserve.core.auth.codes import LIFETIME, Purpose
from cloudserve.core.errors import Problem
from cloudserve.core.mail import Message
from cloudserve.core.models.owner import Owner

_SUBJECTS = {"verify": "Verify your mail address", "reset": "Reset your password"}
_TEXTS = {
    "verify": "Enter this code to verify your mail address:",
    "reset": "Enter this code to choose a new password:",
}


async def send_code(context: Context, owner: Owner, purpose: Purpose) -> None:
    """Mails a fresh code. Raises `MailError`."""
    if owner.email is None:
        return
    code = await context.codes.issue(owner.id, purpose)
    minutes = int(LIFETIME.total_seconds() // 60)
    text = (
        f"Hello {owner.full_name or owner.name},\n\n{_TEXTS[purpose]}\n\n    {code}\n\n"
        f"It is good for {minutes} minutes. If you did not ask for it, you need not do anything.\n\n"
        f"CloudServe at {context.settings.url}\n"
    )
    await context.mailer.send(Message(to=owner.email, subject=_SUBJECTS[purpose], text=text))


def check_mail(context: Context) -> None:
    """Raises the 409 on a platform that sends no mail."""
    if not context.mailer.enabled:
        raise Problem(
            409,
            "This platform sends no mail, so there are no codes. Ask its administrator for help.",
            reason="mail-off",
        )
