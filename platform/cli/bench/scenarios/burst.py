"""Many first calls of one function at the same moment: how long the last ones wait."""

import statistics
from typing import Any

from cloudserve.cli.bench import functions
from cloudserve.cli.bench.calls import at_once
from cloudserve.cli.bench.processes import settle
from cloudserve.cli.bench.session import Session
from cloudserve.cli.bench.statistics import percentile, spread
from cloudserve.cli.bench.subject import platform

_SETTLE_SECONDS = 10.0


def measure(session: Session) -> dict[str, Any]:
    """Returns, by runtime, the spread of each burst's percentiles in milliseconds."""
    numbers = range(session.plan.bursts)
    seeds = {"python": [functions.python(f"python-{n}") for n in numbers]}
    seeds["node"] = [functions.node(f"node-{n}") for n in numbers]
    bursts: dict[str, list[list[float]]] = {"python": [], "node": []}
    with platform([seed for kind in seeds.values() for seed in kind]) as subject:
        for number in numbers:
            for runtime, of_it in seeds.items():
                session.say(f"burst {number + 1} of {session.plan.bursts}, {runtime}")
                settle(subject.pid, _SETTLE_SECONDS)
                ms = at_once(subject.target(of_it[number].name), session.plan.burst_calls)
                bursts[runtime].append(list(ms))
    return {
        runtime: {
            "calls": session.plan.burst_calls,
            "p50Ms": spread([statistics.median(ms) for ms in of_it]),
            "p99Ms": spread([percentile(ms, 0.99) for ms in of_it]),
        }
        for runtime, of_it in bursts.items()
    }
