"""How much is measured: everything for the record, or a little of everything where minutes count, as in CI."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of each scenario.

    A throughput round is `seconds` of load on one contender at one number of `connections`; `rounds` of them are made,
    each contender in turn.
    """

    name: str
    rounds: int
    seconds: int
    connections: tuple[int, ...]


FULL: Final = Plan(
    name="full",
    rounds=7,
    seconds=2,
    connections=(1, 8, 32),
)
QUICK: Final = Plan(
    name="quick",
    rounds=3,
    seconds=1,
    connections=(32,),
)
