"""Over how many of its workers the calls of a version spread, where each worker takes one call at a time.

Short calls only compete for the processors: few workers, whose memory is in the processors' caches, are through with
them sooner than many (32 calls at once over 32 Node processes take three times the processor time of 32 over 4). So
while a version's calls are short, one that finds enough workers busy waits for the next of these, although others are
free. It waits for no long call: a worker that has been at one for `PATIENCE_SECONDS` no longer counts.
"""

import os
from typing import Final

PATIENCE_SECONDS: Final = 0.002
"""From how long on a call is no short one; a held call waits about that much longer at most than it had to."""

ENOUGH: Final = 4 * (os.cpu_count() or 1)
"""Busy workers that keep all processors at work. Fewer would have the gateway handle their answers one by one: it
handles all that have come in one turn of its loop together, which costs it less.
"""

_WEIGHT: Final = 0.05


class Spread:
    """What is known of the calls of one version."""

    __slots__ = ("_mean",)

    def __init__(self) -> None:
        self._mean = 0.0

    def ended(self, seconds: float, busy: int) -> None:
        """Takes note of a call that ended while so many workers were busy, which made it as much longer."""
        alone = seconds if busy <= ENOUGH else seconds * ENOUGH / busy
        self._mean += (alone - self._mean) * _WEIGHT

    def is_enough(self, busy: int) -> bool:
        """Tells whether a call had better wait for one of the busy workers than wake another."""
        return busy >= ENOUGH and self._mean < PATIENCE_SECONDS
