"""How a report stands beside the goals."""

import pytest

from cloudserve.cli.bench.goals import GOALS, Goal, verdicts
from tests.unit.cli.bench.reports import made_up


def goal(direction: str, bound: float, unit: str = "share") -> Goal:
    """Returns a goal that reads nothing."""
    return Goal("a goal", "throughput", unit, direction, bound, lambda _: 0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(("value", "holds", "nearly"), [(0.36, True, True), (0.25, False, True), (0.24, False, False)])
def test_at_least_allows_more_and_with_slack_a_little_less(value: float, holds: bool, nearly: bool) -> None:
    """At a slack of 0.7, 70 % of the bound are enough."""
    assert goal("at least", 0.35).holds(value) is holds
    assert goal("at least", 0.35).holds(value, slack=0.7) is nearly


@pytest.mark.parametrize(("value", "holds", "nearly"), [(2.0, True, True), (2.8, False, True), (2.9, False, False)])
def test_at_most_allows_less_and_with_slack_a_little_more(value: float, holds: bool, nearly: bool) -> None:
    """At a slack of 0.7, the bound over 0.7 is kept."""
    assert goal("at most", 2).holds(value) is holds
    assert goal("at most", 2).holds(value, slack=0.7) is nearly


@pytest.mark.parametrize(("unit", "relative"), [("share", True), ("times", True), ("ms", False), ("MiB", False)])
def test_only_ratios_hold_on_any_machine(unit: str, relative: bool) -> None:
    """Times and sizes are those of one machine."""
    assert goal("at most", 1, unit).is_relative is relative


def test_every_goal_finds_its_figure_in_a_whole_report() -> None:
    """And tells whether it is met."""
    found = verdicts(made_up())
    assert [one.goal for one in found] == list(GOALS)
    assert [one.goal.name for one in found if not one.is_met] == []


def test_what_a_run_left_out_is_not_judged() -> None:
    """Neither a scenario nor a contender."""
    document = made_up()
    del document["scenarios"]["cold"]
    for rows in document["scenarios"]["throughput"].values():
        rows.pop("framework-node", None)
    names = [one.goal.name for one in verdicts(document)]
    assert "First call, Python, p50" not in names
    assert "Node, times Functions Framework" not in names
    assert "Python, times Functions Framework" in names


def test_fewer_idle_workers_are_reckoned_up_to_fifty() -> None:
    """So that a quick run tells the same figure."""
    document = made_up()
    document["scenarios"]["idle"] = {"workers": 10, "python": {"mib": 20.0}, "mixed": {"mib": 40.0}}
    assert [one.value for one in verdicts(document) if one.goal.scenario == "idle"] == [100, 200]
