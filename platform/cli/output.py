"""What a verb says: data on standard output, everything else on standard error.

Every verb takes `--json` (`JsonOption`) and makes an `Output` of it. With `--json`, standard output holds exactly one
JSON document (or one a line, for a stream), and a failure is a JSON document on standard error.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import IO, Annotated, Any, Final

import typer
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

_UNFOLDED: Final = 10_000
_TELL_SECONDS: Final = 5.0


class CommandError(Exception):
    """Why a verb can't do what it was asked for.

    Args:
        message: a sentence for a person, with the remedy.
        reason: a stable word for a program.
        exit_code: what the process ends with.
        details: what `--json` shows besides.
        notes: further lines for a person, which tell a program nothing new.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "failed",
        exit_code: int = 1,
        details: Mapping[str, Any] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.exit_code = exit_code
        self.details = dict(details or {})
        self.notes = list(notes)


def _remember_json(ctx: typer.Context, value: bool) -> bool:
    ctx.meta["cloudserve.json"] = value
    return value


JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON on standard output.", callback=_remember_json, is_eager=True)
]


class Output:
    """Where one verb writes. `as_json` is its `--json`."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self._progress = _console(sys.stderr)

    def result(self, document: Any, shown: RenderableType) -> None:
        """Writes the verb's result: `document` with `--json`, otherwise `shown`; text is written as it is."""
        if self.as_json:
            write_json(document)
        elif isinstance(shown, str):
            sys.stdout.write(shown if shown.endswith("\n") else shown + "\n")
            sys.stdout.flush()
        else:
            _console(sys.stdout).print(shown)

    def print(self, markup: str) -> None:
        """Writes a line of data to standard output, from Rich's markup; whatever is not ours in it must be escaped."""
        _console(sys.stdout).print(markup, soft_wrap=True)

    def say(self, text: str) -> None:
        """Tells a person how it goes, on standard error; silent with `--json`."""
        if not self.as_json:
            self._progress.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def working(self, text: str) -> Iterator[None]:
        """Shows that something takes a while: a spinner on a terminal, a line elsewhere."""
        if self.as_json:
            yield
        elif self._progress.is_terminal:
            with self._progress.status(escape(text)):
                yield
        else:
            self.say(text)
            yield

    @contextmanager
    def progress(self, text: str) -> Iterator[Callable[[str], None]]:
        """Gives what shows how far `text` is: beside a spinner on a terminal, in a line now and then elsewhere."""
        if self.as_json:
            yield lambda how_far: None
        elif self._progress.is_terminal:
            with self._progress.status(escape(text)) as status:
                yield lambda how_far: status.update(escape(f"{text}: {how_far}"))
        else:
            self.say(text)
            told = time.monotonic()

            def tell(how_far: str) -> None:
                nonlocal told
                if time.monotonic() - told >= _TELL_SECONDS:
                    told = time.monotonic()
                    self.say(how_far)

            yield tell


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Returns a plain table; what is in its cells is never read as markup."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(escape("" if cell is None else str(cell)) for cell in row))
    return made


def moment(timestamp: str | None) -> str:
    """Returns a time of the API as a person reads it: to the second, in the time zone of this machine."""
    if timestamp is None:
        return "-"
    return datetime.fromisoformat(timestamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def write_json(document: Any) -> None:
    """Writes one JSON document and a newline to standard output."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def show_error(error: CommandError, *, as_json: bool) -> None:
    """Writes why a verb failed to standard error."""
    if as_json:
        document = {"error": {"message": error.message, "reason": error.reason, **error.details}}
        sys.stderr.write(json.dumps(document, ensure_ascii=False, default=str) + "\n")
    else:
        text = "\n".join([error.message, *error.notes])
        _console(sys.stderr).print(f"[bold red]error:[/] {escape(text)}", highlight=False, soft_wrap=True)


def _console(stream: IO[str]) -> Console:
    # What is read by a program or kept in a file has no edge to fold at.
    width = None if stream.isatty() else _UNFOLDED
    return Console(file=stream, stderr=stream is sys.stderr, highlight=False, width=width)
