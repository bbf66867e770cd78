"""One run of the benchmark: the chosen scenarios, one after the other, with the machine and the date."""

import importlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from cloudserve.cli.bench import machine
from cloudserve.cli.bench.processes import adopt_orphans, reap_orphans
from cloudserve.cli.bench.session import Session

SCENARIOS: Final[dict[str, str]] = {
    "throughput": "Warm calls",
    "cold": "First calls",
    "burst": "A burst of first calls to one function",
    "many": "Many functions in turn",
    "idle": "Idle workers",
    "growth": "Memory over many calls",
    "neighbours": "Spinning neighbours",
    "walls": "What walls cost",
}
"""The scenarios, each a module of `scenarios`, with their titles, in the order that they run in."""


def run(session: Session, names: Sequence[str]) -> dict[str, Any]:
    """Runs the named scenarios and returns the report; `report.tables` shows it."""
    document: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "plan": session.plan.name,
        "machine": machine.describe(),
        "busyElsewherePercent": 0.0,
        "scenarios": {},
    }
    adopt_orphans()
    for name in _ordered(names):
        session.say(f"── {SCENARIOS[name]}")
        scenario = importlib.import_module(f"cloudserve.cli.bench.scenarios.{name}")
        elsewhere = machine.Elsewhere()
        document["scenarios"][name] = scenario.measure(session)
        reap_orphans()
        document["busyElsewherePercent"] = max(document["busyElsewherePercent"], elsewhere.percent())
    return document


def _ordered(names: Collection[str]) -> list[str]:
    return [name for name in SCENARIOS if not names or name in names]
