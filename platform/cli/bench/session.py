"""What every scenario is given."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from cloudserve.cli.bench.plan import Plan


@dataclass(frozen=True, slots=True)
class Session:
    """One run: how much is measured, whom to tell how it goes, and the contenders to compare (none named: all)."""

    plan: Plan
    say: Callable[[str], None]
    contenders: Collection[str] = ()
