"""The walls as a person reads them: in `status` and in `doctor`."""

import pytest

from cloudserve.cli.commands.doctor import walls_checks
from cloudserve.cli.walls import walls_line, walls_rows
from cloudserve.core.confine.attacks import outcomes_at
from cloudserve.core.confine.layers import Layer
from cloudserve.core.confine.tiers import Protection, Tier

LAYERS = (
    Layer("seccomp", True),
    Layer("landlock", True, "version 7"),
    Layer("tmpfs", False, "it takes root", "sudo it"),
    Layer("proc", False, "it takes root", "sudo it"),
    Layer("cgroups", False, "nobody handed one over", "systemd it"),
)


def test_status_names_the_tier_what_is_on_and_what_is_off_why_and_the_command() -> None:
    """What is off for one reason stands in one row."""
    assert list(walls_rows(Protection("C", LAYERS).as_dict())) == [
        ("walls", "tier C: files, system calls and connections confined, one owner at a time"),
        *((outcome, ", ".join(names)) for outcome, names in outcomes_at("C").items()),
        ("on", "seccomp, landlock"),
        ("off", "tmpfs, proc: it takes root. Remedy: sudo it"),
        ("off", "cgroups: nobody handed one over. Remedy: systemd it"),
    ]


def test_status_shows_the_tier_alone_where_the_layers_were_not_told() -> None:
    """The key was changed, so nobody who may know them asks."""
    walls = {**Protection("B", LAYERS).summary(), "layersOn": None, "layersOff": None}
    assert [name for name, _ in walls_rows(walls)] == ["walls", "blocked", "contained to the worker"]


def test_no_walls_are_no_tier() -> None:
    """The word says it."""
    assert walls_line(Protection("none", ()).summary()) == "no walls"


@pytest.mark.parametrize(
    ("tier", "minimum", "states"),
    [
        ("A", "A", {"good"}),
        ("B", "C", {"good"}),
        ("C", "C", {"warning"}),
        ("C", "B", {"bad", "warning"}),
        ("none", "C", {"bad", "warning"}),
    ],
)
def test_doctor_tells_how_good_the_walls_are(tier: Tier, minimum: str, states: set[str]) -> None:
    """And each layer that is off with its remedy; on a good host that is no fault."""
    checks = list(walls_checks(Protection(tier, LAYERS), minimum))
    assert {check.state for check in checks} == states
    assert "on: seccomp, landlock" in checks[0].found
    assert [(check.found, check.remedy) for check in checks[1:]] == [
        ("off: tmpfs, proc: it takes root", "sudo it"),
        ("off: cgroups: nobody handed one over", "systemd it"),
    ]
