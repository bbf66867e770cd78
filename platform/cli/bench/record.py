"""The record of a run in the checkout: the report itself, its picture, and its tables in the documents.

A document has places between `<!-- bench:NAME -->` and `<!-- /bench -->`. NAME is that of a scenario, for all its
tables, that of one table of `report.tables`, or `conditions`. A test holds that what stands there is what the recorded
report says.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cloudserve.cli.bench import chart, report
from cloudserve.cli.output import CommandError

REPORT: Final = "docs/benchmark.json"
CHART: Final = "docs/pictures/benchmark.svg"
DOCUMENTS: Final = ("README.md", "docs/performance.md")

_PLACE: Final = re.compile(r"(<!-- bench:([\w-]+) -->\n).*?(<!-- /bench -->)", re.DOTALL)


def as_json(document: dict[str, Any]) -> str:
    """Returns a report as it is written to files."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def require_whole(scenarios: Sequence[str], contenders: Sequence[str]) -> None:
    """Raises `CommandError` when a run that is asked for leaves something out."""
    if scenarios or contenders:
        raise CommandError(
            "The record holds every scenario and contender. Remedy: run `cloudserve bench --record` without names.",
            reason="incomplete",
            exit_code=2,
        )


def write(document: dict[str, Any], checkout: Path) -> None:
    """Records a whole run."""
    (checkout / REPORT).write_text(as_json(document), "utf-8")
    (checkout / CHART).write_text(chart.svg(document), "utf-8")
    for name in DOCUMENTS:
        path = checkout / name
        path.write_text(filled(path.read_text("utf-8"), document), "utf-8")


def filled(text: str, document: dict[str, Any]) -> str:
    """Returns a document with what a report says in each of its places. Raises `KeyError` for an unknown name."""
    blocks = {table.name: table.markdown() for table in report.tables(document)}
    for name in document["scenarios"]:
        blocks[name] = "\n\n".join(f"{one.title}:\n\n{one.markdown()}" for one in report.of_scenario(document, name))
    blocks["conditions"] = f"Measured on {report.conditions(document)}"
    return _PLACE.sub(lambda place: f"{place[1]}\n{blocks[place[2]]}\n\n{place[3]}", text)
