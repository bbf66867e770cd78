"""What accounts may be called: names of users and teams, and mail addresses, in the one form that is kept."""

import re
from typing import Final

from cloudserve.core.errors import FieldError
from cloudserve.core.mail.addresses import checked

MIN_NAME: Final = 3
MAX_NAME: Final = 39

_NAME: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)

# Names with a meaning of their own in addresses, or that pass for the platform itself.
_RESERVED: Final = """
    about account accounts admin administrator api app apps assets auth billing blog cdn cloudserve dashboard deploy
    docs favicon function functions gateway health healthz help home host internal invite legal localhost login
    logout machine mail metrics null openapi operator owner platform postmaster privacy public readyz register root
    run runs security server service settings signup static status support system team teams terms test undefined
    user users webhook webhooks well-known www
"""
RESERVED_NAMES: Final = frozenset(_RESERVED.split())


def name_fault(name: str, *, field: str = "userName", reserved: bool = True) -> FieldError | None:
    """Returns what is wrong with an owner's name, if anything. Without `reserved`, reserved names are right."""
    if not MIN_NAME <= len(name) <= MAX_NAME:
        return FieldError(
            field,
            f"The name has {len(name)} characters instead of {MIN_NAME} to {MAX_NAME}.",
            limit=f"{MIN_NAME} to {MAX_NAME}",
            remedy="Choose a longer name." if len(name) < MIN_NAME else "Choose a shorter name.",
        )
    if not _NAME.fullmatch(name):
        return FieldError(
            field,
            "The name may hold lower case letters, digits and single hyphens between them.",
            limit=_NAME.pattern,
            remedy="Choose a name such as ada-lovelace.",
        )
    if reserved and name in RESERVED_NAMES:
        return FieldError(field, f"The name {name} is reserved.", remedy="Choose another name.")
    return None


def suggested_name(email: str) -> str:
    """Returns a valid name that resembles a mail address; whether it is free is another question."""
    name = re.sub(r"[^a-z0-9]+", "-", email.partition("@")[0].lower()).strip("-")[: MAX_NAME - 6].strip("-")
    return name if name_fault(name) is None else f"user-{name or 'new'}"


def normal_email(text: str) -> str | None:
    """Returns a mail address in lower case and one Unicode form, or None when it is none. Asks no name server."""
    try:
        return checked(text).normalized.lower()
    except ValueError:
        return None
