"""What `export` and `import` have in common: the passphrase, how far they are, and why they ended early."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from cloudserve.cli.output import CommandError, Output
from cloudserve.cli.prompts import read_secret
from cloudserve.core.objects.abc import ObjectsError
from cloudserve.core.store.abc import StoreError
from cloudserve.core.transfer.counts import Counts
from cloudserve.core.transfer.failures import Conflicting, Damaged, TransferError, WrongPassphrase
from cloudserve.core.transfer.home import Phase, Progress

T = TypeVar("T")

KINDS: Final = {
    "owners": "users and teams",
    "keys": "keys",
    "functions": "functions",
    "versions": "versions",
    "secrets": "secrets",
    "builds": "builds",
    "objects": "objects",
    "calls": "records of calls",
}
"""What is counted, and how it is called."""

_PHASES: Final[dict[Phase, str]] = {
    "check": "checking the file",
    "objects": "copying objects",
    "rows": "functions",
    "history": "records of calls",
}
_REASONS: Final[dict[type[TransferError], str]] = {
    Damaged: "damaged-file",
    WrongPassphrase: "wrong-passphrase",
    Conflicting: "conflict",
    TransferError: "failed",
}

PassphraseFileOption = Annotated[
    Path | None,
    typer.Option(help="A file with the passphrase; without it, it is asked for, or read from standard input."),
]


def passphrase(file: Path | None, *, new: bool) -> str:
    """Returns the passphrase; a new one is typed twice. Raises `CommandError` when there is none."""
    if file is None:
        return read_secret("Passphrase", confirm=new)
    try:
        return file.read_text("utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"The passphrase can't be read from {file}: {error}.", reason="no-passphrase") from None


@contextmanager
def shown(out: Output, text: str) -> Iterator[Progress]:
    """Shows how far a transfer is."""
    with out.progress(text) as show:
        yield lambda phase, done, total: show(_words(phase, done, total))


def finished(work: Callable[[], T], *, again: str) -> T:
    """Does a transfer and returns what came of it; `again` is what to do about a failure that may pass.

    Raises `CommandError` for whatever ended it early.
    """
    try:
        return work()
    except Conflicting as error:
        count = len(error.conflicts)
        raise CommandError(
            f"Nothing was imported: {count} {'rows are' if count > 1 else 'row is'} in conflict with this platform's.",
            reason=_REASONS[Conflicting],
            details={"conflicts": [str(conflict) for conflict in error.conflicts]},
            notes=[str(conflict) for conflict in error.conflicts],
        ) from None
    except Damaged as error:
        raise CommandError(f"Nothing was imported: {error}", reason=_REASONS[Damaged]) from None
    except TransferError as error:
        raise CommandError(str(error), reason=_REASONS[type(error)]) from None
    except (StoreError, ObjectsError, OSError) as error:
        raise CommandError(f"{error}. Remedy: {again}", reason="interrupted") from None


def counted(counts: Counts) -> dict[str, int]:
    """Returns how many there are of each, for `--json`."""
    return {name: getattr(counts, name) for name in (*KINDS, "size")}


def megabytes(size: int) -> str:
    """Returns a size as a person reads it."""
    return f"{size / 1e6:.1f} MB"


def _words(phase: Phase, done: int, total: int | None) -> str:
    count: Callable[[int], str] = megabytes if phase in ("check", "objects") else str
    return f"{_PHASES[phase]}: {count(done)}" + (f" of {count(total)}" if total is not None else "")
