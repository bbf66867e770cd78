"""A report as tables: the same for the screen and for the documents."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cloudserve.cli.bench.contenders import CONTENDERS
from cloudserve.cli.bench.functions import TITLES
from cloudserve.cli.bench.goals import Unit, verdicts
from cloudserve.cli.bench.machine import QUIET_PERCENT
from cloudserve.cli.bench.statistics import Spread

_WARM: Final = {"python": "Python", "node": "Node"}
_FORMS: Final[dict[Unit, str]] = {
    "share": "{:.0%}",
    "times": "{:.2f} times",
    "ms": "{:,.1f} ms",
    "MiB": "{:,.1f} MiB",
    "KiB": "{:.1f} KiB",
}


@dataclass(frozen=True, slots=True)
class Table:
    """What one scenario found; documents refer to it by its name."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Returns the table for a document."""
        lines = [self.columns, ["---", *["--:"] * (len(self.columns) - 1)], *self.rows]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def conditions(document: dict[str, Any]) -> str:
    """Returns when and where a run was made, in one sentence, and whether the machine was its own."""
    machine = document["machine"]
    day = datetime.fromisoformat(document["date"]).strftime("%Y-%m-%d")
    busy = document["busyElsewherePercent"]
    alone = (
        "nothing else running"
        if busy <= QUIET_PERCENT
        else f"UNDER LOAD: other work took up to {busy:.0f} % of the CPUs"
    )
    return (
        f"{day}, {machine['processor']}, {machine['cores']} cores, {machine['memoryGiB']} GiB, {machine['system']}, "
        f"Python {machine['python']}, Node {machine['node']}, wrk {machine['wrk']}, tier {machine['tier']}, "
        f"{document['plan']} run, {alone}."
    )


def tables(document: dict[str, Any]) -> list[Table]:
    """Returns the tables of the scenarios that a report has, and last how it stands beside the goals."""
    return [*(table for name in document["scenarios"] for table in of_scenario(document, name)), _goals(document)]


def of_scenario(document: dict[str, Any], name: str) -> list[Table]:
    """Returns the tables of one scenario."""
    return _TABLES[name](document["scenarios"][name])


def _throughput(found: dict[str, Any]) -> list[Table]:
    titles = {contender.name: contender.title for contender in CONTENDERS}
    return [
        Table(
            f"warm-{connections}",
            f"Warm calls, {connections} {'connection' if connections == '1' else 'connections'}",
            ["", "req/s", "of uvicorn", "CPU µs a call", "p99 ms"],
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


def _cold(found: dict[str, Any]) -> list[Table]:
    rows = []
    for kind, row in found.items():
        imports = (
            [f"{row['importMs']['median']:.1f}", f"{row['p50MsWithoutImport']:.1f}"] if "importMs" in row else ["", ""]
        )
        rows.append([TITLES[kind], f"{row['calls']}", f"{row['p50Ms']:.1f}", f"{row['p99Ms']:.1f}", *imports])
    columns = ["", "functions", "p50 ms", "p99 ms", "import ms", "p50 ms without it"]
    return [Table("cold", "First call of a function", columns, rows)]


def _burst(found: dict[str, Any]) -> list[Table]:
    rows = [
        [TITLES[kind], f"{row['calls']}", _spread(row["p50Ms"], "{:.0f}"), _spread(row["p99Ms"], "{:.0f}")]
        for kind, row in found.items()
    ]
    return [Table("burst", "First calls of one function at once", ["", "calls", "p50 ms", "p99 ms"], rows)]


def _many(found: dict[str, Any]) -> list[Table]:
    title = f"{found['functions']:,} functions in turn, {found['workers']} workers at most"
    rows = [[TITLES[kind], f"{found[kind]['p50Ms']:.1f}", f"{found[kind]['p99Ms']:.1f}"] for kind in ("python", "node")]
    kept = Table(
        "kept",
        "What the platform keeps of a function that was called and has no worker",
        ["", "KiB"],
        [["each function", f"{found['keptKibEach']:.1f}"]],
    )
    return [Table("many", title, ["", "p50 ms", "p99 ms"], rows), kept]


def _idle(found: dict[str, Any]) -> list[Table]:
    names = {"python": "Python", "node": "Node", "mixed": "half and half"}
    count = found["workers"]
    rows = [[title, f"{found[name]['mib']:.0f}", f"{found[name]['mib'] / count:.1f}"] for name, title in names.items()]
    return [Table("idle", f"{count} idle workers", ["", "MiB (PSS)", "MiB each"], rows)]


def _growth(found: dict[str, Any]) -> list[Table]:
    row = [f"over {found['over']:,} calls", f"{found['grownMib']:.1f}", f"{found['residentMib']:.0f}"]
    return [Table("growth", "Memory over many calls", ["", "growth, MiB", "resident at the end, MiB"], [row])]


def _neighbours(found: dict[str, Any]) -> list[Table]:
    titles = {
        "aloneMs": "alone",
        "besideMs": f"beside {found['neighbours']} spinning functions",
        "times": "times",
    }
    rows = [
        [title, *(_spread(found[figure][name], "{:.1f}") for figure in ("mean", "p95"))]
        for name, title in titles.items()
    ]
    return [Table("neighbours", "A stranger's calls", ["", "mean ms", "p95 ms"], rows)]


def _walls(found: dict[str, Any]) -> list[Table]:
    rows = [
        [_WARM[name], _spread(row["speed"], "{:.2f}"), _spread(row["cpu"], "{:.2f}")] for name, row in found.items()
    ]
    columns = ["", "calls a second", "CPU time a call"]
    return [Table("walls", "Warm calls with walls, as multiples of those without", columns, rows)]


def _goals(document: dict[str, Any]) -> Table:
    rows = [
        [
            verdict.goal.name,
            f"{verdict.goal.direction} {_FORMS[verdict.goal.unit].format(verdict.goal.bound)}",
            _FORMS[verdict.goal.unit].format(verdict.value),
            "yes" if verdict.is_met else "no",
        ]
        for verdict in verdicts(document)
    ]
    return Table("goals", "Goals", ["", "goal", "measured", "met"], rows)


def _spread(spread: Spread, form: str) -> str:
    low, high = form.format(spread["low"]), form.format(spread["high"])
    return f"{form.format(spread['median'])} ({low} to {high})"


_TABLES: Final[dict[str, Callable[[dict[str, Any]], list[Table]]]] = {
    "throughput": _throughput,
    "cold": _cold,
    "burst": _burst,
    "many": _many,
    "idle": _idle,
    "growth": _growth,
    "neighbours": _neighbours,
    "walls": _walls,
}
