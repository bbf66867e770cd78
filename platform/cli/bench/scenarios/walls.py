"""What walls cost a warm call: the same platform with the walls of this host and without any, in turns."""

import contextlib
from typing import Any, Final

from cloudserve.cli.bench import functions, load
from cloudserve.cli.bench.plan import WARM_UP_SECONDS
from cloudserve.cli.bench.processes import cpu_between, cpu_seconds, settle
from cloudserve.cli.bench.session import Session
from cloudserve.cli.bench.statistics import spread
from cloudserve.cli.bench.subject import UNWALLED, platform

CONNECTIONS: Final = 8

_SETTLE_SECONDS: Final = 10.0


def measure(session: Session) -> dict[str, Any]:
    """Returns, by runtime, calls a second and CPU time a call with walls, as multiples of those without."""
    load.require_wrk()
    seeds = [functions.python("python"), functions.node("node")]
    speed: dict[str, list[float]] = {seed.name: [] for seed in seeds}
    cpu: dict[str, list[float]] = {seed.name: [] for seed in seeds}
    with contextlib.ExitStack() as running:
        walled = running.enter_context(platform(seeds))
        open_ = running.enter_context(platform(seeds, program=UNWALLED))
        for number in range(session.plan.rounds + 1):  # the first is the warm-up
            session.say(f"round {number} of {session.plan.rounds}")
            seconds = session.plan.seconds if number else WARM_UP_SECONDS
            for seed in seeds:
                took = []
                for subject in (walled, open_):
                    before = cpu_seconds(subject.pid)
                    done = load.put(subject.target(seed.name), connections=CONNECTIONS, seconds=seconds)
                    settle(subject.pid, _SETTLE_SECONDS)
                    used = cpu_between(before, cpu_seconds(subject.pid))
                    took.append((done.per_second, used / done.requests))
                if number > 0:
                    speed[seed.name].append(took[0][0] / took[1][0])
                    cpu[seed.name].append(took[0][1] / took[1][1])
    return {name: {"speed": spread(speed[name]), "cpu": spread(cpu[name])} for name in speed}
