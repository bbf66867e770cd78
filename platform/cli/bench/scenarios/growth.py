"""Memory over hundreds of thousands of calls: whether any process of the platform keeps something of each.

One worker of each runtime takes half of the calls, several at once, so that what a worker keeps of a call would show
soonest; V8 takes some ten thousand calls until its heap has found its size.
"""

from typing import Any, Final

from cloudserve.cli.bench import functions, load
from cloudserve.cli.bench.memory import resident_kib
from cloudserve.cli.bench.processes import settle, tree
from cloudserve.cli.bench.seeding import Seed
from cloudserve.cli.bench.session import Session
from cloudserve.cli.bench.statistics import rise, rounded
from cloudserve.cli.bench.subject import platform

CONNECTIONS: Final = 8

_CONCURRENCY: Final = 16
_SETTLE_SECONDS: Final = 20.0
_LEAST_LOOKS: Final = 12
_WARM_UP_SHARE: Final = 0.25
"""Of the looks at the memory, the first ones do not count: pools fill and allocators find their size."""

Look = tuple[int, dict[int, int]]
"""How many calls there were so far, and the RSS of each process, in KiB."""


def measure(session: Session) -> dict[str, Any]:
    """Returns the MiB by which all lasting processes of the platform grow over `plan.growth_calls`."""
    load.require_wrk()
    seeds = [
        Seed("python", "python", functions.source("hello_async.py"), _CONCURRENCY),
        Seed("node", "node", functions.source("hello_async.cjs"), _CONCURRENCY),
    ]
    calls = 0
    looks: list[Look] = []
    with platform(seeds) as subject:
        targets = [subject.target(seed.name) for seed in seeds]
        while calls < session.plan.growth_calls / (1 - _WARM_UP_SHARE) or len(looks) < _LEAST_LOOKS:
            for target in targets:
                calls += load.put(target, connections=CONNECTIONS, seconds=1).requests
            settle(subject.pid, _SETTLE_SECONDS)
            looks.append((calls, {pid: resident_kib([pid]) for pid in tree(subject.pid)}))
            session.say(f"{calls} calls")
    processes = _lasting(looks[round(len(looks) * _WARM_UP_SHARE) :])
    return {
        "calls": calls,
        "residentMib": rounded(sum(points[-1][1] for points in processes)),
        "grownMib": rounded(sum(rise(points) for points in processes) * session.plan.growth_calls),
        "over": session.plan.growth_calls,
    }


def _lasting(looks: list[Look]) -> list[list[tuple[float, float]]]:
    """Returns, by calls, the MiB of each process that was there at every look: blank workers come and go."""
    pids = set.intersection(*(set(kib) for _, kib in looks))
    return [[(calls, kib[pid] / 1024) for calls, kib in looks] for pid in pids]
