"""First calls of functions that nobody has called: files fetched and unpacked, a worker made, code loaded.

The kinds take turns, one call at a time, `INTERVAL_SECONDS` apart: first calls that come closer find no blank process
in stock and measure how fast a machine starts processes, which `burst` and `many` do.
"""

import time
from collections.abc import Sequence
from typing import Any, Final

from cloudserve.cli.bench import functions, peers
from cloudserve.cli.bench.calls import Timed, caller
from cloudserve.cli.bench.seeding import Seed
from cloudserve.cli.bench.session import Session
from cloudserve.cli.bench.statistics import percentile, spread
from cloudserve.cli.bench.subject import platform

INTERVAL_SECONDS: Final = 0.1
KINDS: Final = tuple(functions.TITLES)

_WARM_UP_CALLS: Final = 4
_IMPORT: Final = "x-import-ms"


def measure(session: Session) -> dict[str, Any]:
    """Returns, by kind, the milliseconds of first calls: 50th and 99th percentile, and without the import itself."""
    session.say("installing the functions' dependencies, unless they are there")
    numbers = range(session.plan.cold_functions + _WARM_UP_CALLS)
    seeds = [seed for number in numbers for seed in _of_each_kind(number)]
    times: dict[str, list[Timed]] = {kind: [] for kind in KINDS}
    session.say(f"seeding {len(seeds)} functions")
    with platform(seeds) as subject, caller(subject.target(seeds[0].name)) as connection:
        due = time.monotonic()
        for index, seed in enumerate(seeds):
            due = max(due + INTERVAL_SECONDS, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
            timed = connection.call(subject.target(seed.name))
            if index % (50 * len(KINDS)) == 0:
                session.say(f"first call {index + 1} of {len(seeds)}")
            if index >= _WARM_UP_CALLS * len(KINDS):
                times[KINDS[index % len(KINDS)]].append(timed)
    return {kind: _summary(timed) for kind, timed in times.items()}


def _of_each_kind(number: int) -> Sequence[Seed]:
    return [
        functions.python(f"python-{number}"),
        functions.node(f"node-{number}"),
        functions.python_with_requests(f"python-requests-{number}", peers.requests_layer()),
        functions.node_with_addon(f"node-addon-{number}", peers.addon_layer()),
    ]


def _summary(timed: Sequence[Timed]) -> dict[str, Any]:
    ms = [one.ms for one in timed]
    summary: dict[str, Any] = {"calls": len(ms), "p50Ms": percentile(ms, 0.5), "p99Ms": percentile(ms, 0.99)}
    if _IMPORT in timed[0].headers:
        imports = [float(one.headers[_IMPORT]) for one in timed]
        summary["importMs"] = spread(imports)
        summary["p50MsWithoutImport"] = percentile([a - b for a, b in zip(ms, imports, strict=True)], 0.5)
    return summary
