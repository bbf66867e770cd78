"""How long to wait before a process that has ended is started again: none at first, then twice as long each time."""

from typing import Final

FIRST_WAIT: Final = 0.2
MAX_WAIT: Final = 10.0
STABLE_SECONDS: Final = 10.0
"""A process that has lasted this long has not failed at its start: the waits begin anew."""


def next_wait(wait: float, lasted: float) -> float:
    """Returns the seconds to wait after a process that was started after `wait` seconds has `lasted` so many."""
    return 0.0 if lasted > STABLE_SECONDS else min(max(wait * 2, FIRST_WAIT), MAX_WAIT)
