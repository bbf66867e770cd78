"""Checks the values that a deploy sets beside its sources: handler, environment, secrets, egress."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from cloudserve.core.confine.egress.policy import parse_target
from cloudserve.core.environment import is_reserved
from cloudserve.core.errors import FieldError, Problem, invalid
from cloudserve.core.models.function import Egress

MAX_VARIABLES: Final = 100
MAX_ENVIRONMENT_BYTES: Final = 32 * 1024
MAX_VARIABLE_NAME: Final = 128
MAX_HANDLER: Final = 200

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HANDLER: Final = re.compile(r"[^\W\d][\w$]*(?:\.[^\W\d][\w$]*)*|\$[\w$]*")


def check_handler(handler: str | None) -> None:
    """Raises the 422 for a handler that no module could export."""
    if handler is not None and (len(handler) > MAX_HANDLER or not _HANDLER.fullmatch(handler)):
        raise _invalid("handler", "The handler is no name that a module could export.", "Name it such as `handler`.")


def check_environment(environment: Mapping[str, str]) -> None:
    """Raises the 422 for variables that no process could be given."""
    _check_names("environment", list(environment))
    size = sum(len(name) + len(value.encode(errors="surrogatepass")) for name, value in environment.items())
    if size > MAX_ENVIRONMENT_BYTES:
        message = f"The environment has {size} bytes; {MAX_ENVIRONMENT_BYTES} are allowed."
        raise _invalid("environment", message, "Keep data in a file of the sources.", MAX_ENVIRONMENT_BYTES)
    for name, value in environment.items():
        if "\0" in value or (not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value)):
            message = f"The value of `{name}` holds a zero byte or is no valid Unicode text."
            raise _invalid("environment", message, "Encode binary values, for instance in base 64.")


def check_secrets(secrets: Sequence[str], environment: Mapping[str, str]) -> None:
    """Raises the 422 for names that can't be secrets, or that the environment has too."""
    _check_names("secrets", secrets)
    if len(set(secrets)) != len(secrets):
        raise _invalid("secrets", "A secret is named twice.", "Name each once.")
    both = sorted(set(secrets) & set(environment))
    if both:
        message = f"`{both[0]}` is in the environment and in the secrets."
        raise _invalid("secrets", message, "Keep it in one of the two.")


def check_egress(egress: Egress) -> None:
    """Raises the 422 for a list of hosts that would not be used, is missing, or can't be read."""
    if egress.mode != "list" and egress.allow:
        raise _invalid("egress.allow", "Hosts are only for the mode `list`.", "Set `mode` to `list`, or name none.")
    if egress.mode == "list" and not egress.allow:
        raise _invalid("egress.allow", "The mode `list` needs hosts.", "Name some, or set `mode` to `none`.")
    for host in egress.allow:
        try:
            parse_target(host)
        except ValueError as error:
            remedy = "Write it such as `api.example.com:443`, `*.example.com`, `10.0.0.1:5432` or `[2001:db8::]/32`."
            raise _invalid("egress.allow", f"{error}.", remedy) from error


def _check_names(field: str, names: Sequence[str]) -> None:
    if len(names) > MAX_VARIABLES:
        message = f"There are {len(names)} names; {MAX_VARIABLES} are allowed."
        raise _invalid(field, message, "Put several values into one.", MAX_VARIABLES)
    for name in names:
        if len(name) > MAX_VARIABLE_NAME or not _VARIABLE.fullmatch(name):
            message = f"`{name[:MAX_VARIABLE_NAME]}` is no name of an environment variable."
            raise _invalid(field, message, "Use letters, digits and underscores, no digit first.", MAX_VARIABLE_NAME)
        if is_reserved(name):
            raise _invalid(field, f"`{name}` is the platform's or the runtime's own.", "Choose another name.")


def _invalid(field: str, message: str, remedy: str, limit: int | None = None) -> Problem:
    return invalid(FieldError(field, message, limit, remedy))
