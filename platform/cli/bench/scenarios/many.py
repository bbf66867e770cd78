"""Far more functions than may have workers, called in turn: each call ends one worker and makes another.

What the platform's own process keeps of a function that was called and has no worker any more is told from the same
calls, by its memory before and after.
"""

from typing import Any, Final

from cloudserve.cli.bench import functions
from cloudserve.cli.bench.calls import caller
from cloudserve.cli.bench.memory import proportional_kib
from cloudserve.cli.bench.processes import settle
from cloudserve.cli.bench.seeding import Seed
from cloudserve.cli.bench.session import Session
from cloudserve.cli.bench.statistics import percentile, rounded
from cloudserve.cli.bench.subject import platform

WORKERS: Final = 64

_SETTLE_SECONDS: Final = 20.0
_EVERY: Final = 500


def measure(session: Session) -> dict[str, Any]:
    """Returns the calls' milliseconds by runtime, and the KiB that the platform keeps for each function."""
    session.say(f"seeding {session.plan.many_functions} functions")
    before = [_one(f"before-{number}", number) for number in range(WORKERS)]
    seeds = [_one(f"function-{number}", number) for number in range(session.plan.many_functions)]
    ms: dict[str, list[float]] = {"python": [], "node": []}
    with platform([*before, *seeds], max_workers=WORKERS) as subject, caller(subject.target("before-0")) as connection:
        for seed in before:  # so that every worker's place is taken
            connection.call(subject.target(seed.name))
        settle(subject.pid, _SETTLE_SECONDS)
        memory = proportional_kib([subject.pid])
        for number, seed in enumerate(seeds):
            if number % _EVERY == 0:
                session.say(f"function {number + 1} of {len(seeds)}")
            ms[seed.runtime].append(connection.call(subject.target(seed.name)).ms)
        settle(subject.pid, _SETTLE_SECONDS)
        kept = proportional_kib([subject.pid]) - memory
    return {
        "functions": len(seeds),
        "workers": WORKERS,
        "keptKibEach": rounded(kept / len(seeds)),
        **{
            runtime: {"p50Ms": percentile(of_it, 0.5), "p99Ms": percentile(of_it, 0.99)}
            for runtime, of_it in ms.items()
        },
    }


def _one(name: str, number: int) -> Seed:
    return functions.python(name) if number % 2 == 0 else functions.node(name)
