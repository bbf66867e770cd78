"""Warm calls: requests per second and CPU time of each contender, in turns, so that a busy machine slows all alike.

CPU time is that of all processes of a contender, from the first request until it has nothing more to do: what
CloudServe does behind its calls (records on their way to the store) counts, and is over before the next one's turn.
"""

import time
from typing import Any, Final

from cloudserve.cli.bench import load
from cloudserve.cli.bench.contenders import CONTENDERS, LIMIT
from cloudserve.cli.bench.load import Load, Target
from cloudserve.cli.bench.plan import WARM_UP_SECONDS
from cloudserve.cli.bench.processes import cpu_between, cpu_seconds, settle
from cloudserve.cli.bench.serving import serving
from cloudserve.cli.bench.session import Session
from cloudserve.cli.bench.statistics import spread
from cloudserve.cli.bench.subject import Subject
from cloudserve.cli.output import CommandError

_SETTLE_SECONDS: Final = 10.0
_RECORD_SECONDS: Final = 120.0
_LOOK_SECONDS: Final = 0.2

Round = tuple[Load, float]
"""A round of load, and the CPU seconds that it cost."""


def measure(session: Session) -> dict[str, Any]:
    """Returns, by number of connections and contender, what each round came to; the limit is always among them."""
    load.require_wrk()
    plan, say, chosen = session.plan, session.say, session.contenders
    contenders = [one for one in CONTENDERS if not chosen or one.name in {*chosen, LIMIT}]
    say("starting the contenders")
    with serving(contenders) as served:
        targets = {name: one.target for name, one in served.items()}
        for name, target in targets.items():
            say(f"warming up {name}")
            load.put(target, connections=max(plan.connections), seconds=WARM_UP_SECONDS)
            settle(target.pid, _SETTLE_SECONDS)
        found = {str(connections): _compare(session, targets, connections) for connections in plan.connections}
        for name, one in served.items():
            if one.subject is not None:
                say(f"looking whether the store has every call of {name}")
                _await_records(one.subject, sum(of_it[name]["requests"] for of_it in found.values()))
    return found


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


def _await_records(subject: Subject, answered: int) -> None:
    """Returns when every call that was answered is in the store: usage and logs were on, and have lost none."""
    until = time.monotonic() + _RECORD_SECONDS
    while (recorded := subject.recorded()) < answered:
        if time.monotonic() > until:
            raise CommandError(
                f"{answered} calls were answered, and the store has {recorded} of them.", reason="records-lost"
            )
        time.sleep(_LOOK_SECONDS)


def _summary(rounds: list[Round], limit: list[float]) -> dict[str, Any]:
    return {
        "perSecond": spread([one.per_second for one, _ in rounds]),
        "share": spread([one.per_second / best for (one, _), best in zip(rounds, limit, strict=True)]),
        "cpuMicroseconds": spread([cpu / one.requests * 1e6 for one, cpu in rounds]),
        "p99Ms": spread([one.p99_ms for one, _ in rounds]),
        "requests": sum(one.requests for one, _ in rounds),
    }
