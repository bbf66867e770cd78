"""Asking for what must not be an argument: passwords and secret values never stand in argv or a shell's history."""

import getpass
import sys

from cloudserve.cli.output import CommandError


def read_secret(label: str, *, confirm: bool = False) -> str:
    """Returns what a person types unseen, or the whole of standard input when it is no terminal.

    One line break at the end of standard input is no part of it. Raises `CommandError` when nothing is given, or when
    `confirm` is asked for and the second entry differs.
    """
    if sys.stdin.isatty():
        value = getpass.getpass(f"{label}: ")
        if confirm and getpass.getpass(f"{label} again: ") != value:
            raise CommandError(f"The two entries differ; the {label.lower()} was not taken.", reason="mismatch")
    else:
        value = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if not value:
        raise CommandError(
            f"No {label.lower()} was given. Type it at the prompt, or pipe it to standard input.",
            reason="nothing-given",
            exit_code=2,
        )
    return value


def ask(label: str, given: str | None, option: str) -> str:
    """Returns `given`, or what a person types. Raises `CommandError` when nobody can be asked."""
    if given:
        return given
    if not sys.stdin.isatty():
        raise CommandError(f"{option} is needed when nobody can be asked.", reason="nothing-given", exit_code=2)
    sys.stderr.write(f"{label}: ")
    sys.stderr.flush()
    answer = sys.stdin.readline().strip()
    if not answer:
        raise CommandError(f"No {label.lower()} was given; use {option}.", reason="nothing-given", exit_code=2)
    return answer


def confirm(question: str, *, yes: bool) -> None:
    """Returns when a person agrees, or `yes` says so. Raises `CommandError` otherwise."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError("Nobody can be asked here; repeat it with --yes.", reason="not-confirmed", exit_code=2)
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise CommandError("Nothing was changed.", reason="not-confirmed")
