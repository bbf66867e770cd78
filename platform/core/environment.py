"""Names and values of environment variables and secrets: what a function may be given, and what is ours."""

import re
from collections.abc import Mapping
from typing import Final

from cloudserve.core.errors import FieldError

MAX_VARIABLES: Final = 100
MAX_VALUE_BYTES: Final = 64 * 1024
MAX_NAME_LENGTH: Final = 128
NAME_PATTERN: Final = "[A-Z_][A-Z0-9_]{0,127}"

_NAME: Final = re.compile(NAME_PATTERN, re.ASCII)
_OWN_PREFIXES: Final = ("CLOUDSERVE_", "LD_", "DYLD_", "NODE_", "NPM_CONFIG_", "PYTHON", "GLIBC_", "MALLOC_")
_OWN_NAMES: Final = frozenset(
    {
        "BASH_ENV",
        "ENV",
        "GCONV_PATH",
        "HOME",
        "IFS",
        "LOGNAME",
        "OPENSSL_CONF",
        "PATH",
        "PWD",
        "SHELL",
        "TMPDIR",
        "USER",
    }
)
_ALLOWED: Final = frozenset({"NODE_ENV"})


def name_fault(name: str, *, field: str) -> FieldError | None:
    """Returns what is wrong with the name of a variable or secret, if anything."""
    if not _NAME.fullmatch(name):
        return FieldError(
            field,
            f"A name holds capital letters, digits and underscores, at most {MAX_NAME_LENGTH}, and no digit first.",
            limit=NAME_PATTERN,
            remedy="Choose a name such as DATABASE_URL.",
        )
    if name not in _ALLOWED and (name in _OWN_NAMES or name.startswith(_OWN_PREFIXES)):
        return FieldError(
            field, f"The name {name} is the platform's or the runtime's own.", remedy="Choose another name."
        )
    return None


def value_fault(value: str, *, field: str) -> FieldError | None:
    """Returns what is wrong with a value, if anything."""
    size = len(value.encode())
    if size > MAX_VALUE_BYTES:
        return FieldError(
            field,
            f"The value has {size} bytes; {MAX_VALUE_BYTES} are allowed.",
            limit=MAX_VALUE_BYTES,
            remedy="Keep large data elsewhere and give the function its address.",
        )
    if "\0" in value:
        return FieldError(field, "The value holds a null character.", remedy="Encode binary values, as in base 64.")
    return None


def environment_faults(environment: Mapping[str, str]) -> list[FieldError]:
    """Returns all that is wrong with an environment."""
    if len(environment) > MAX_VARIABLES:
        message = f"There are {len(environment)} variables; {MAX_VARIABLES} are allowed."
        return [FieldError("environment", message, limit=MAX_VARIABLES, remedy="Put several values into one.")]
    faults = [
        fault
        for name, value in environment.items()
        for fault in (
            name_fault(name, field=f"environment.{name[:MAX_NAME_LENGTH]}"),
            value_fault(value, field=f"environment.{name[:MAX_NAME_LENGTH]}"),
        )
    ]
    return [fault for fault in faults if fault is not None]
