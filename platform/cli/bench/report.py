"""A report as tables: the same for the screen and for the documents."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cloudserve.cli.bench.contenders import CONTENDERS
from cloudserve.cli.bench.machine import QUIET_LOAD
from cloudserve.cli.bench.statistics import Spread


@dataclass(frozen=True, slots=True)
class Table:
    """What one scenario found."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def conditions(document: dict[str, Any]) -> str:
    """Returns when and where a run was made, in one sentence, and whether the machine was its own."""
    machine = document["machine"]
    day = datetime.fromisoformat(document["date"]).strftime("%Y-%m-%d")
    load = machine["loadAverage"]
    alone = (
        "with nothing else running" if load <= QUIET_LOAD else f"while other work kept the machine busy (load {load})"
    )
    return (
        f"{day}, {machine['processor']}, {machine['cores']} cores, {machine['memoryGiB']} GiB, {machine['system']}, "
        f"Python {machine['python']}, Node {machine['node']}, wrk {machine['wrk']}, as {machine['user']} user, "
        f"{document['plan']} run, {alone}."
    )


def tables(document: dict[str, Any]) -> list[Table]:
    """Returns the tables of the scenarios that a report has."""
    return [table for name, found in document["scenarios"].items() for table in _TABLES[name](found)]


def markdown(table: Table) -> str:
    """Returns a table for a document."""
    lines = [table.columns, ["---", *["--:"] * (len(table.columns) - 1)], *table.rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _throughput(found: dict[str, Any]) -> list[Table]:
    titles = {contender.name: contender.title for contender in CONTENDERS}
    columns = ["", "req/s", "of uvicorn", "CPU µs a call", "p99 ms"]
    return [
        Table(
            f"Warm calls, {connections} {'connection' if connections == '1' else 'connections'}",
            columns,
            [
                [
                    titles[name],
                    _spread(row["perSecond"], "{:,.0f}"),
                    f"{row['share']['median']:.0%}",
                    _spread(row["cpuMicroseconds"], "{:.0f}"),
                    f"{row['p99Ms']['median']:.1f}",
                ]
                for name, row in rows.items()
            ],
        )
        for connections, rows in found.items()
    ]


def _spread(spread: Spread, form: str) -> str:
    low, high = form.format(spread["low"]), form.format(spread["high"])
    return f"{form.format(spread['median'])} ({low} to {high})"


_TABLES: Final[dict[str, Callable[[dict[str, Any]], list[Table]]]] = {"throughput": _throughput}
