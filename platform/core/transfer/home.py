"""A platform's home: all that an export reads, and an import writes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cloudserve.core.auth.sealing import Sealer
from cloudserve.core.objects.abc import Objects
from cloudserve.core.store.abc import Store

Phase = Literal["check", "objects", "rows", "history"]

Progress = Callable[[Phase, int, int | None], None]
"""Gets what is being done, how much of it is done, and of how much, where that is known.

Files are checked by the byte, objects are counted in bytes too, rows and records of calls each by itself.
"""


def silent(phase: Phase, done: int, total: int | None) -> None:
    """Shows no progress."""


@dataclass(frozen=True, slots=True)
class Home:
    """An open store, its open object store, and what opens its secrets. `settings` are as `Settings` names them."""

    store: Store
    objects: Objects
    sealer: Sealer = field(repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)
