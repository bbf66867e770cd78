"""A stack of this checkout: its settings' file, and what Pulumi does with it."""

import json
import re
import shutil
from typing import Annotated, Any, Final

import typer

from cloudserve.cli import folders, pulumi_cli, pulumi_environment, pulumi_locks, pulumi_run
from cloudserve.cli.output import CommandError, Output

DEFAULT: Final = "local"
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")

_HELP: Final = "The stack's name."
StackArgument = Annotated[str, typer.Argument(help=_HELP, envvar="PULUMI_STACK", metavar="[STACK]")]
StackOption = Annotated[str, typer.Option("--stack", help=_HELP, envvar="PULUMI_STACK")]


class Stack:
    """One stack. Its methods raise `CommandError`, with Pulumi's own words where it has said none yet."""

    def __init__(self, name: str, out: Output) -> None:
        if not _NAME.fullmatch(name):
            raise CommandError(f"{name!r} can't be a stack's name: letters, digits, `_`, `.` and `-`, at most 100.")
        self.name = name
        self._out = out
        self._checkout = folders.checkout()
        self.file = self._checkout / "infra" / "stacks" / f"Pulumi.{name}.yaml"
        self.cli = pulumi_cli.obtain(out.say)
        self.environment = pulumi_environment.prepare(self.cli, out.say)

    def make(self) -> None:
        """Makes the stack, and its settings' file from the template, where there is none yet."""
        if not self.file.exists():
            templates = self._checkout / "infra" / "stacks"
            template = templates / f"{self.name}.example.yaml"
            shutil.copyfile(template if template.exists() else templates / f"{DEFAULT}.example.yaml", self.file)
            self._out.say(f"Its settings are in {self.file.relative_to(self._checkout)}; every one has a default.")
        if not self.exists():
            self._quiet("stack", "init", self.name, "--no-select")

    def exists(self) -> bool:
        """Tells whether the backend knows the stack."""
        return self._row() is not None

    def is_empty(self) -> bool:
        """Tells whether there is nothing to take down: not even what an `up` that failed has made."""
        return not (self._row() or {}).get("resourceCount")

    def up(self) -> None:
        """Brings the stack to what the program and the settings say."""
        self._clear_locks()
        self._watched("up", "--yes", "--skip-preview", "--suppress-outputs")

    def destroy(self) -> None:
        """Takes down what the stack has made."""
        self._clear_locks()
        self._watched("destroy", "--yes", "--skip-preview", "--suppress-outputs")

    def outputs(self) -> dict[str, Any]:
        """Returns the stack's outputs, secrets in plain text; none before the first `up` and after `down`."""
        if not self.exists():
            return {}
        outputs: dict[str, Any] = json.loads(self._quiet("stack", "output", "--json", "--show-secrets", *self._stack))
        return outputs

    @property
    def _stack(self) -> tuple[str, ...]:
        return ("--stack", self.name)

    def _row(self) -> dict[str, Any] | None:
        known: list[dict[str, Any]] = json.loads(self._quiet("stack", "ls", "--json"))
        return next((row for row in known if row["name"].rpartition("/")[2] == self.name), None)

    def _clear_locks(self) -> None:
        for pid in pulumi_locks.clear_dead_locks(self.environment.backend, self.name):
            self._out.say(f"Removed the lock of an update that was cut off (process {pid} is gone).")

    def _quiet(self, *arguments: str) -> str:
        command = [str(self.cli.executable), *arguments, "--non-interactive"]
        done = pulumi_run.captured(command, cwd=self._checkout, env=self.environment.merged())
        if done.returncode != 0:
            raise CommandError(_reason(done.stderr or done.stdout), reason="pulumi")
        return done.stdout

    def _watched(self, *arguments: str) -> None:
        quietly = [] if pulumi_run.on_a_terminal() and not self._out.as_json else ["--non-interactive"]
        command = [str(self.cli.executable), *arguments, *self._stack, *quietly]
        env = self.environment.merged()
        if self._out.as_json:
            done = pulumi_run.captured(command, cwd=self._checkout, env=env)
            if done.returncode != 0:
                raise CommandError(_reason(done.stdout + done.stderr), reason="pulumi")
        elif code := pulumi_run.shown(command, cwd=self._checkout, env=env):
            raise CommandError(f"`pulumi {arguments[0]}` failed (code {code}); it says why above.", reason="pulumi")


def _reason(text: str) -> str:
    """Returns what Pulumi calls errors, or all it said."""
    errors = [line.strip().removeprefix("error: ") for line in text.splitlines() if line.strip().startswith("error:")]
    return " ".join(dict.fromkeys(errors)) or text.strip() or "Pulumi failed and gave no reason."
