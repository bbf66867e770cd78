"""Memory over hundreds of thousands of calls: whether any process of the platform keeps something of each."""

from typing import Any, Final

from cloudserve.cli.bench import functions, load
from cloudserve.cli.bench.memory import resident_kib
from cloudserve.cli.bench.processes import settle, tree
from cloudserve.cli.bench.session import Session
from cloudserve.cli.bench.statistics import rounded, slope
from cloudserve.cli.bench.subject import platform

CONNECTIONS: Final = 8

_SETTLE_SECONDS: Final = 20.0
_LEAST_LOOKS: Final = 4
_WARM_UP_SHARE: Final = 0.25
"""Of the looks at the memory, the first ones do not count: pools fill and allocators find their size."""


def measure(session: Session) -> dict[str, Any]:
    """Returns the MiB by which all processes of the platform grow over `plan.growth_calls` calls, by the slope."""
    load.require_wrk()
    seeds = [functions.python("python"), functions.node("node")]
    with platform(seeds) as subject:
        targets = [subject.target(seed.name) for seed in seeds]
        calls = 0
        looks: list[tuple[float, float]] = []
        while calls < session.plan.growth_calls / (1 - _WARM_UP_SHARE) or len(looks) < _LEAST_LOOKS:
            for target in targets:
                calls += load.put(target, connections=CONNECTIONS, seconds=1).requests
            settle(subject.pid, _SETTLE_SECONDS)
            looks.append((calls, resident_kib(tree(subject.pid)) / 1024))
            session.say(f"{calls} calls, {looks[-1][1]:.0f} MiB resident")
    counted = looks[round(len(looks) * _WARM_UP_SHARE) :]
    return {
        "calls": calls,
        "residentMib": rounded(looks[-1][1]),
        "grownMib": rounded(slope(counted) * session.plan.growth_calls),
        "over": session.plan.growth_calls,
    }
