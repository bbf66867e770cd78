"""What the platform writes to people: each letter's words, from the values that go into it.

Mail to an address that nobody has shown to be theirs holds no words of whoever typed it in: else a sign-up would be a
way to send anybody anything in the platform's name.
"""

import shlex
from datetime import datetime
from typing import Final

from cloudserve.core.auth.codes import LIFETIME
from cloudserve.core.mail import Message
from cloudserve.core.mail.letter import ToCopy, letter
from cloudserve.core.models.owner import Owner

_MINUTES: Final = int(LIFETIME.total_seconds() // 60)
_UNASKED: Final = "If you did not ask for it, you need not do anything."


def verification(owner: Owner, code: str, *, to: str, url: str) -> Message:
    """Returns the letter with the code that verifies a new account's mail address."""
    return _from_platform(
        url,
        to,
        "Verify your mail address",
        _greeting(owner),
        "Enter this code to verify your mail address:",
        ToCopy(code),
        f"It is good for {_MINUTES} minutes. {_UNASKED}",
    )


def reset(owner: Owner, code: str, *, to: str, url: str) -> Message:
    """Returns the letter with the code that sets a new password."""
    return _from_platform(
        url,
        to,
        "Reset your password",
        _greeting(owner),
        "Enter this code to choose a new password:",
        ToCopy(code),
        f"It is good for {_MINUTES} minutes. {_UNASKED}",
    )


def password_changed(owner: Owner, when: datetime, *, to: str, url: str) -> Message:
    """Returns the letter that tells of a new password."""
    return _from_platform(
        url,
        to,
        "Your password was changed",
        _greeting(owner),
        f"The password of your account {owner.name} was changed on {_moment(when)}, and its other sessions have ended.",
        "If that was not you, somebody else has your account: ask for a code to reset the password at once, delete the "
        "API keys that are not yours, and tell the administrator of the platform.",
    )


def already_known(*, to: str, url: str) -> Message:
    """Returns the letter for someone who signs up, or whom somebody signs up, with the address of an account."""
    return _from_platform(
        url,
        to,
        "You have an account already",
        "Hello,",
        "Somebody, perhaps you, has just signed up with this mail address. There is an account for it already, so "
        "nothing was changed.",
        "If it was you: sign in, or ask for a code to reset the password if you have forgotten it. If it was not, you "
        "need not do anything; whoever it was has not learned that the account exists.",
    )


def invitation(text: str, expires_at: datetime, *, to: str, url: str) -> Message:
    """Returns the letter that brings an invitation."""
    words = ("cloudserve", "signup", "--url", url, "--email", to, "--invitation", text)
    return _from_platform(
        url,
        to,
        "You are invited",
        "Hello,",
        f"An administrator invites you to the function platform at {url}. Sign up with:",
        ToCopy(shlex.join(words)),
        f"The invitation is for this mail address alone and ends on {_moment(expires_at)}. If you do not know what it "
        "is about, you need not do anything.",
    )


def trial(*, to: str, url: str) -> Message:
    """Returns the letter with which an administrator tries the mail settings."""
    return _from_platform(
        url,
        to,
        "Mail from your platform arrives",
        "Hello,",
        "An administrator of the platform has sent this mail to try its settings. They work.",
    )


def _from_platform(url: str, to: str, subject: str, *parts: str | ToCopy) -> Message:
    return letter(to=to, subject=subject, parts=parts, closing=f"CloudServe at {url}")


def _greeting(owner: Owner) -> str:
    return f"Hello {owner.full_name or owner.name}," if owner.is_verified else f"Hello {owner.name},"


def _moment(when: datetime) -> str:
    return f"{when:%Y-%m-%d at %H:%M} UTC"
