"""What the table says is blocked: the attacker gets nothing, no secret leaves its place, no canary is touched."""

import pytest

from cloudserve.core.confine.attacks import ATTACKS, Attack
from tests.security.hosts import RUNTIMES, Host

COVERS = (
    "host-files",
    "other-code",
    "other-environment",
    "platform-memory",
    "tree-escapes",
    "writes",
    "file-modes",
    "signals",
    "tracing",
    "control-channels",
    "namespaces",
    "mounts",
    "keyrings",
    "kernel-interfaces",
    "foreign-calls",
    "privileges",
    "terminals",
    "loopback",
    "private-addresses",
    "rebinding",
    "races",
    "datagrams",
    "sockets",
    "listening",
)


def _row(name: str) -> Attack:
    return next(attack for attack in ATTACKS if attack.name == name)


@pytest.mark.parametrize("attack", COVERS)
def test_nothing_comes_of_it(host: Host, runtime: str, attack: str) -> None:
    """Neither by what the attacker says nor by what is seen from outside; without walls it succeeds."""
    report = host.attack(attack, runtime)
    seen = host("look")
    harm = {"got": report.got, "touched": seen["touched"], "spoiled": seen["spoiled"], "stolen": host.stolen(report)}
    if host.tier == "none":  # no descriptor is inherited there, either
        assert any(harm.values()) or attack == "control-channels", report.refused
        return
    if _row(attack).outcome(host.tier) == "blocked":
        assert not any(harm.values()), harm
    else:
        assert any(harm.values()), "the table is too modest"
        assert not harm["stolen"], harm
    for victim in RUNTIMES:
        assert host.visit(victim)["cold"] is False, "a victim's worker has ended"


def test_no_signal_leaves_a_container_on_an_older_kernel(older: Host, runtime: str) -> None:
    """A filter stands in for landlock there."""
    assert older.facts["protection"]["tier"] == "C"
    test_nothing_comes_of_it(older, runtime, "signals")
