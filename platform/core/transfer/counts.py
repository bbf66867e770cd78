"""How much an export or an import has moved."""

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """How many of each; `calls` are the records of calls, `size` is in bytes."""

    owners: int = 0
    keys: int = 0
    functions: int = 0
    versions: int = 0
    secrets: int = 0
    builds: int = 0
    objects: int = 0
    calls: int = 0
    size: int = 0
