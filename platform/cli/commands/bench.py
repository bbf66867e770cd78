"""`cloudserve bench`: what calls cost on this machine."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.text import Text

from cloudserve.cli import folders, node
from cloudserve.cli.bench import chart, record, report
from cloudserve.cli.bench.contenders import CONTENDERS
from cloudserve.cli.bench.plan import FULL, QUICK
from cloudserve.cli.bench.run import SCENARIOS, run
from cloudserve.cli.bench.session import Session
from cloudserve.cli.commands import new_app
from cloudserve.cli.output import CommandError, JsonOption, Output, table

app = new_app()


@app.command(epilog="Example: cloudserve bench throughput --quick")
def bench(
    scenario: Annotated[
        list[str] | None, typer.Argument(help=f"Of {', '.join(SCENARIOS)}; all without a name.")
    ] = None,
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Measure a little of everything.")] = False,
    contender: Annotated[
        list[str] | None, typer.Option(help="Only compare this one; again for more. Plain uvicorn is always there.")
    ] = None,
    save: Annotated[Path | None, typer.Option(metavar="FILE.json", help="Write the report to a file.")] = None,
    picture: Annotated[
        Path | None, typer.Option("--chart", metavar="FILE.svg", help="Draw throughput and first calls.")
    ] = None,
    in_checkout: Annotated[
        bool, typer.Option("--record", help="Write report, chart and the documents' tables into this checkout.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure what calls cost here, beside plain servers and other function frameworks.

    It only speaks to this machine. What it compares with is installed once, locked with hashes.
    """
    out = Output(as_json)
    _know(scenario or [], list(SCENARIOS), "scenario")
    _know(contender or [], [one.name for one in CONTENDERS], "contender")
    if sys.platform != "linux":
        raise CommandError(
            "Measuring needs Linux: CPU time and memory are read the way it has them.", reason="no-linux"
        )
    node.require_node()
    signal.signal(signal.SIGTERM, _end)
    if in_checkout:
        record.require_whole(scenario or [], contender or [])
    document = run(Session(QUICK if quick else FULL, out.say, contender or []), scenario or [])
    if save is not None:
        save.write_text(record.as_json(document), "utf-8")
    if picture is not None:
        picture.write_text(chart.svg(document), "utf-8")
    if in_checkout:
        record.write(document, folders.checkout())
    shown = [Group(Text(f"\n{one.title}", "bold"), table(one.columns, one.rows)) for one in report.tables(document)]
    out.result(document, Group(Text(report.conditions(document)), *shown))


def _end(number: int, _frame: object) -> None:
    """Ends as by Ctrl-C, which leaves no process behind."""
    raise typer.Exit(128 + number)


def _know(given: list[str], known: list[str], what: str) -> None:
    for name in given:
        if name not in known:
            raise CommandError(
                f"There is no {what} '{name}'. Remedy: choose among {', '.join(known)}.", reason="unknown", exit_code=2
            )
