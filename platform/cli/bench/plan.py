"""How much is measured: everything for the record, or a little of everything where minutes count, as in CI."""

from dataclasses import dataclass
from typing import Final

WARM_UP_SECONDS: Final = 8
"""Of load: until V8 has compiled a handler in each of the processes that it is spread over, which takes it some 10,000
calls.
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of each scenario.

    Args:
        name: what a report says of the run.
        rounds: how often each side of a comparison has its turn.
        seconds: how long a turn's load lasts.
        connections: the numbers of connections that throughput is measured at.
        cold_functions: functions of each kind that are called for the first time.
        burst_calls: first calls that arrive at once at one function.
        bursts: how many such functions.
        many_functions: functions that are called in turn under the cap of workers.
        idle_workers: workers whose memory is measured.
        growth_calls: calls over which memory is watched.
    """

    name: str
    rounds: int
    seconds: int
    connections: tuple[int, ...]
    cold_functions: int
    burst_calls: int
    bursts: int
    many_functions: int
    idle_workers: int
    growth_calls: int


FULL: Final = Plan(
    name="full",
    rounds=7,
    seconds=2,
    connections=(1, 8, 32),
    cold_functions=200,
    burst_calls=200,
    bursts=5,
    many_functions=2_000,
    idle_workers=50,
    growth_calls=200_000,
)
QUICK: Final = Plan(
    name="quick",
    rounds=3,
    seconds=2,
    connections=(32,),
    cold_functions=20,
    burst_calls=50,
    bursts=1,
    many_functions=100,
    idle_workers=10,
    growth_calls=20_000,
)
