"""What the documents say of the benchmark is what the recorded report says; `bench --record` writes both."""

import json
import re
from pathlib import Path

import pytest

from cloudserve.cli.bench import chart, record
from cloudserve.cli.bench.run import SCENARIOS

ROOT = Path(__file__).parents[2]
REPORT = json.loads((ROOT / record.REPORT).read_text("utf-8"))
REMEDY = "run `./cloudserve bench --record`, which writes the documents too"


@pytest.mark.parametrize("name", record.DOCUMENTS)
def test_every_figure_is_the_recorded_one(name: str) -> None:
    """Nobody has changed a table by hand, or the report without the tables."""
    text = (ROOT / name).read_text("utf-8")
    assert record.filled(text, REPORT) == text, f"{name} differs from {record.REPORT}: {REMEDY}"


def test_the_picture_is_that_of_the_recorded_run() -> None:
    """The README shows it."""
    assert (ROOT / record.CHART).read_text("utf-8") == chart.svg(REPORT), REMEDY
    assert record.CHART in (ROOT / "README.md").read_text("utf-8")


def test_every_scenario_is_recorded_and_shown() -> None:
    """In docs/performance.md, with the goals and the conditions."""
    assert list(REPORT["scenarios"]) == list(SCENARIOS)
    shown = set(re.findall(r"<!-- bench:([\w-]+) -->", (ROOT / "docs" / "performance.md").read_text("utf-8")))
    assert shown == {*SCENARIOS, "goals", "conditions"}


def test_the_readme_shows_figures_with_their_conditions() -> None:
    """No figure without machine and date."""
    shown = re.findall(r"<!-- bench:([\w-]+) -->", (ROOT / "README.md").read_text("utf-8"))
    assert shown == ["conditions", "warm-32"]
