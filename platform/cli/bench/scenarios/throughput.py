"""Warm calls: requests per second and CPU time of each contender, in turns, so that a busy machine slows all alike.

CPU time is that of all processes of a contender, from the first request until it has nothing more to do: what
CloudServe does behind its calls (records on their way to the store) counts, and is over before the next one's turn.
"""

from typing import Any, Final

from cloudserve.cli.bench import load
from cloudserve.cli.bench.contenders import CONTENDERS, LIMIT, serving
from cloudserve.cli.bench.load import Load, Target
from cloudserve.cli.bench.processes import cpu_between, cpu_seconds, settle
from cloudserve.cli.bench.session import Session
from cloudserve.cli.bench.statistics import spread

_WARM_UP_SECONDS: Final = 1
_SETTLE_SECONDS: Final = 10.0

Round = tuple[Load, float]
"""A round of load, and the CPU seconds that it cost."""


def measure(session: Session) -> dict[str, Any]:
    """Returns, by number of connections and contender, what each round came to; the limit is always among them."""
    load.require_wrk()
    plan, say, chosen = session.plan, session.say, session.contenders
    names = [one.name for one in CONTENDERS if not chosen or one.name in {*chosen, LIMIT}]
    say("starting the contenders")
    with serving(names) as targets:
        for name in names:
            say(f"warming up {name}")
            load.put(targets[name], connections=max(plan.connections), seconds=_WARM_UP_SECONDS)
            settle(targets[name].pid, _SETTLE_SECONDS)
        return {str(connections): _compare(session, targets, connections) for connections in plan.connections}


def _compare(session: Session, targets: dict[str, Target], connections: int) -> dict[str, Any]:
    rounds: dict[str, list[Round]] = {name: [] for name in targets}
    for number in range(session.plan.rounds):
        session.say(f"{connections} connections, round {number + 1} of {session.plan.rounds}")
        for name, target in targets.items():
            rounds[name].append(_round(target, connections, session.plan.seconds))
    limit = [one.per_second for one, _ in rounds[LIMIT]]
    return {name: _summary(done, limit) for name, done in rounds.items()}


def _round(target: Target, connections: int, seconds: int) -> Round:
    before = cpu_seconds(target.pid)
    done = load.put(target, connections=connections, seconds=seconds)
    settle(target.pid, _SETTLE_SECONDS)
    return done, cpu_between(before, cpu_seconds(target.pid))


def _summary(rounds: list[Round], limit: list[float]) -> dict[str, Any]:
    return {
        "perSecond": spread([one.per_second for one, _ in rounds]),
        "share": spread([one.per_second / best for (one, _), best in zip(rounds, limit, strict=True)]),
        "cpuMicroseconds": spread([cpu / one.requests * 1e6 for one, cpu in rounds]),
        "p99Ms": spread([one.p99_ms for one, _ in rounds]),
        "requests": sum(one.requests for one, _ in rounds),
    }
