"""Workers that wait: what a machine pays for each of them in memory.

It is the growth of the PSS of all of the platform's processes from none of these workers to all, at rest both times.
"""

from collections.abc import Sequence
from typing import Any, Final

from cloudserve.cli.bench import functions
from cloudserve.cli.bench.calls import caller
from cloudserve.cli.bench.memory import tree_proportional_kib
from cloudserve.cli.bench.processes import settle
from cloudserve.cli.bench.seeding import Seed
from cloudserve.cli.bench.session import Session
from cloudserve.cli.bench.statistics import rounded
from cloudserve.cli.bench.subject import platform

_SETTLE_SECONDS: Final = 20.0


def measure(session: Session) -> dict[str, Any]:
    """Returns the MiB of so many idle Python workers, Node workers, and as many of both together, half and half."""
    count = session.plan.idle_workers
    python = [functions.python(f"python-{number}") for number in range(count)]
    node = [functions.node(f"node-{number}") for number in range(count)]
    groups = {"python": python, "node": node, "mixed": [*python[: count // 2], *node[: count - count // 2]]}
    found: dict[str, Any] = {"workers": count}
    for name, seeds in groups.items():
        session.say(f"{count} workers, {name}")
        found[name] = {"mib": rounded(_mib(seeds))}
    return found


def _mib(seeds: Sequence[Seed]) -> float:
    warm_up = [functions.python("warm-up-python"), functions.node("warm-up-node")]
    with platform([*warm_up, *seeds]) as subject, caller(subject.target(seeds[0].name)) as connection:
        for seed in warm_up:
            connection.call(subject.target(seed.name))
        settle(subject.pid, _SETTLE_SECONDS)
        before = tree_proportional_kib(subject.pid)
        for seed in seeds:
            connection.call(subject.target(seed.name))
        settle(subject.pid, _SETTLE_SECONDS)
        return (tree_proportional_kib(subject.pid) - before) / 1024
