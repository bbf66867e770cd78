"""What a function may be called."""

import re
from typing import Final

from cloudserve.core.errors import FieldError, invalid

MAX_LENGTH: Final = 63
"""A name fits one label of a host name (RFC 1035, section 2.3.4)."""

RESERVED: Final = frozenset(
    {
        "admin",
        "api",
        "assets",
        "auth",
        "builds",
        "cloudserve",
        "deploy",
        "docs",
        "functions",
        "healthz",
        "internal",
        "login",
        "logout",
        "metrics",
        "platform",
        "readyz",
        "run",
        "signup",
        "static",
        "system",
    }
)
"""Words that stand for something of the platform's own in a URL."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def check_name(name: str) -> None:
    """Raises the 422 that says what is wrong with a function's name."""
    if not name:
        raise invalid(FieldError("name", "A function needs a name.", None, _REMEDY))
    if len(name) > MAX_LENGTH:
        message = f"The name has {len(name)} characters; {MAX_LENGTH} are allowed."
        raise invalid(FieldError("name", message, MAX_LENGTH, "Choose a shorter name."))
    if not _NAME.fullmatch(name):
        message = "The name holds other characters than lower-case letters, digits, hyphens and underscores."
        raise invalid(FieldError("name", message, "a-z 0-9 - _, a letter or digit first", _REMEDY))
    if name in RESERVED:
        message = f"The name `{name}` is reserved for the platform."
        raise invalid(FieldError("name", message, "reserved words", "Choose another name."))


_REMEDY: Final = "Choose a name such as `send-mail`: lower-case letters, digits, hyphens and underscores."
