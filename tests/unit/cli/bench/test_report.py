"""A report as tables, a picture, and what documents say."""

import xml.etree.ElementTree as ET

import pytest

from cloudserve.cli.bench import chart, record, report
from cloudserve.cli.bench.contenders import CONTENDERS
from cloudserve.cli.bench.run import SCENARIOS
from cloudserve.cli.output import CommandError
from tests.unit.cli.bench.reports import made_up


def test_every_scenario_has_a_table() -> None:
    """And the goals come last."""
    document = made_up()
    assert set(document["scenarios"]) == set(SCENARIOS)
    names = [table.name for table in report.tables(document)]
    assert len(set(names)) == len(names) >= len(SCENARIOS)
    assert names[-1] == "goals"


def test_every_row_has_every_column() -> None:
    """A table of a document would break otherwise."""
    for table in report.tables(made_up()):
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_figures_are_never_without_machine_and_date() -> None:
    """Nor without the word that the machine was busy, where it was."""
    document = made_up()
    said = report.conditions(document)
    assert "2026-11-23" in said
    assert "2 cores" in said
    assert "nothing else running" in said
    assert "UNDER LOAD" in report.conditions(document | {"busyElsewherePercent": 60.0})


def test_the_picture_is_svg_for_light_and_dark_pages() -> None:
    """With a bar for each contender, and nothing of a name taken for markup."""
    drawn = chart.svg(made_up())
    root = ET.fromstring(drawn)
    texts = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {contender.title for contender in CONTENDERS} <= set(texts)
    assert any("A <quick> processor & friends" in text for text in texts)
    assert "prefers-color-scheme: dark" in drawn


def test_nothing_is_drawn_outside_the_picture() -> None:
    """Bars and their figures stay between the margins."""
    root = ET.fromstring(chart.svg(made_up()))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for bar in root.iter("{http://www.w3.org/2000/svg}rect"):
        assert float(bar.attrib["x"]) + float(bar.attrib["width"]) < width
        assert float(bar.attrib["y"]) + float(bar.attrib["height"]) < height


def test_a_part_of_a_run_has_its_part_of_the_picture() -> None:
    """Scenarios that were not measured are left out."""
    document = made_up()
    del document["scenarios"]["cold"]
    assert "First call" not in chart.svg(document)


def test_a_document_gets_its_tables() -> None:
    """Between the marks, which stay; what was there goes."""
    text = "Before.\n<!-- bench:burst -->\nold\n<!-- /bench -->\nAfter.\n"
    filled = record.filled(text, made_up())
    assert filled.startswith("Before.\n<!-- bench:burst -->\n\nFirst calls of one function at once:\n\n|  | calls |")
    assert filled.endswith("|\n\n<!-- /bench -->\nAfter.\n")
    assert "old" not in filled
    assert record.filled(filled, made_up()) == filled


@pytest.mark.parametrize(("scenarios", "contenders"), [(["cold"], []), ([], ["python"])])
def test_only_a_whole_run_is_recorded(scenarios: list[str], contenders: list[str]) -> None:
    """Told before anything is measured."""
    with pytest.raises(CommandError, match="without names"):
        record.require_whole(scenarios, contenders)
