"""Finding the function that a verb is about."""

from typing import Annotated, Any

import typer

from cloudserve.cli.client import Client
from cloudserve.cli.output import CommandError

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The function: `name` or `owner/name`.")]


def split_name(name: str) -> tuple[str | None, str]:
    """Returns the owner, None when the name has none, and the function's own name. Raises `CommandError`."""
    owner, slash, function = name.rpartition("/")
    if not function or (slash and not owner) or "/" in owner:
        raise CommandError(f"{name!r} names no function; write `name` or `owner/name`.", reason="bad-name", exit_code=2)
    return owner or None, function


def find_function(client: Client, name: str) -> dict[str, Any] | None:
    """Returns the function of that name as the API shows it, None when this account has none."""
    owner, function = split_name(name)
    for found in client.get("/api/functions")["functions"]:
        if found["name"] == function and owner in (None, owner_of(found)):
            return dict(found)
    return None


def the_function(client: Client, name: str) -> dict[str, Any]:
    """Returns the function of that name. Raises `CommandError` when this account has none."""
    found = find_function(client, name)
    if found is None:
        raise CommandError(
            f"There is no function {name!r}. `./cloudserve functions` lists yours.", reason="not-found", exit_code=1
        )
    return found


def owner_of(function: dict[str, Any]) -> str:
    """Returns the owner's name, which a function's endpoint carries: `…/run/{owner}/{function}`."""
    return str(function["endpoint"]).rstrip("/").rsplit("/", 2)[-2]
