"""What a function can see of other processes: nothing where owners share a host, its own container's at tier C."""

from cloudserve.core.confine.attacks import ATTACKS, AttackOutcome
from tests.security.hosts import Host

COVERS = ("list-processes",)


def test_processes_are_seen_as_the_table_says(host: Host, runtime: str) -> None:
    """Neither /proc nor asking for every number there is shows more."""
    got = host.attack("list-processes", runtime).got
    row = next(attack for attack in ATTACKS if attack.name == "list-processes")
    if host.tier == "none":
        assert got
        return
    seen: AttackOutcome = (
        "contained to the pod" if got and host.tier == "C" else "blocked" if not got else "contained to the worker"
    )
    assert seen == row.outcome(host.tier), got
