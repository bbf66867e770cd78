"""The `cloudserve` command.

`VERBS` names every verb with the line that `--help` shows for it. Its module, `cloudserve.cli.commands.<verb>` (with
a `_` after a word that is Python's own), is only imported when the verb runs, so that each one starts as fast as if it
were alone. What a verb can't do it raises as `CommandError`; it is shown here, on standard error, and ends the process
with its exit code.
"""

import importlib
from contextlib import contextmanager
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from cloudserve.cli.output import CommandError, show_error

if TYPE_CHECKING:
    from collections.abc import Iterator

VERBS: Final[dict[str, str]] = {
    "up": "Bring a platform up, and sign this machine in as its administrator.",
    "login": "Sign in to a platform and keep a key for it on this machine.",
    "signup": "Make an account on a platform and sign this machine in.",
    "deploy": "Deploy a file or a folder as a function, wait for it, and print its endpoint.",
    "invoke": "Call a function and print the body of its answer as it comes.",
    "functions": "List your functions with their state, live version, calls and endpoint.",
    "logs": "Show a function's calls, oldest first: when, how each ended, how long it took, and what it printed.",
    "versions": "List a function's versions, newest first; `*` marks the one that answers.",
    "rollback": "Let an earlier version of a function answer again.",
    "secrets": "Set, list and delete a function's secrets; their values are never shown again.",
    "invite": "Invite someone to make an account; where the platform sends mail, it is mailed to them.",
    "mail": "Try whether the platform's mail arrives.",
    "key": "Show the key of this machine; list, create, delete and regenerate the account's keys.",
    "delete": "Delete a function with all its versions, secrets, logs and usage.",
    "status": "Show a platform's process, health, uptime and sandbox.",
    "output": "Print a stack's outputs, or just the value of one.",
    "env": "Print what to set so that plain `pulumi` works on a stack.",
    "down": "Take a platform down; its data stay for the next `up`.",
    "export": "Write users, keys, functions and secrets of a platform into one file, for `import` on another.",
    "import": "Add what `export` has written to a platform, after all of it was checked.",
    "doctor": "Check what a platform needs of this machine, and say what to do about it.",
    "serve": "Run one service of the platform in the foreground, until it is told to end.",
    "test": "Run the checks and tests of this checkout.",
    "bench": "Measure what calls cost here, beside plain servers and other function frameworks.",
}


class Verbs(TyperGroup):
    """The group of all verbs, which imports a verb's module when it is asked to run it."""

    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Returns the verbs in the order of a first visit."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | TyperGroup | None:
        """Returns the verb, imported; for a list of verbs, only what the list shows of it."""
        if cmd_name not in VERBS:
            return None
        if self._listing:
            return TyperCommand(cmd_name, help=VERBS[cmd_name], rich_markup_mode="markdown")
        name = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        module = importlib.import_module(f"cloudserve.cli.commands.{name}")
        command = typer.main.get_command(module.app)
        assert isinstance(command, TyperCommand | TyperGroup)  # noqa: S101 - what Typer makes, told to mypy
        command.name = cmd_name
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help without importing any verb."""
        with self._list_only():
            super().format_help(ctx, formatter)

    def invoke(self, ctx: Any) -> Any:
        """Runs the verb. A `CommandError` is shown and becomes the exit code."""
        try:
            return super().invoke(ctx)
        except CommandError as error:
            show_error(error, as_json=bool(ctx.meta.get("cloudserve.json")))
            raise typer.Exit(error.exit_code) from None

    @contextmanager
    def _list_only(self) -> "Iterator[None]":
        self._listing = True
        try:
            yield
        finally:
            self._listing = False


app = typer.Typer(
    cls=Verbs,
    name="cloudserve",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    epilog="Example: cloudserve up && cloudserve deploy hello.py && cloudserve invoke hello",
)


@app.callback()
def _root() -> None:
    """Runs functions on your own machines: `up` starts a platform, `deploy` puts a function on it."""


def main() -> None:
    """Runs the command line of this process."""
    app(prog_name="cloudserve")
