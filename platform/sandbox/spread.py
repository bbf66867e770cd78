"""Over how many of its workers the calls of a version spread, where each worker takes one call at a time.

Short calls only compete for the processors: few workers, whose memory is in the processors' caches, are through with
them sooner than many (32 calls at once over 32 Node processes take three times the processor time of 32 over 4). So
while a version's calls are short, one that finds enough workers busy waits for the next of these, although others are
free. It waits for no long call: a worker that has been at one for `PATIENCE_SECONDS` no longer counts. Nor does it wait
while the processors have time left: what its workers do then is to wait themselves, for others.
"""

import os
from typing import Final

from cloudserve.sandbox.processors import Processors

PATIENCE_SECONDS: Final = 0.005
"""From how long on a call is no short one; a held call waits about that much longer at most than it had to."""

ENOUGH: Final = 2 * (os.cpu_count() or 1)
"""Busy workers that keep all processors at work: one that computes, and one whose answer is on its way. Measured with
32 calls at once on two processors, twice as many take up to a third more processor time for each call.
"""

_RISE: Final = 0.01
_FALL: Final = 0.2
"""How far a longer and a shorter call move the estimate: it comes to rest where 1 call in 20 or so is shorter."""


class Spread:
    """What is known of the calls of one version.

    Short are the calls whose shortest are short. Where the processors are busy a mean says little: a call that computes
    for a tenth of a millisecond takes ten where it has to wait for a processor, and would be spread further for it.
    """

    __slots__ = ("_processors", "_shortest")

    def __init__(self, processors: Processors) -> None:
        self._processors = processors
        self._shortest = 0.0

    def ended(self, seconds: float) -> None:
        """Takes note of a call that has ended."""
        difference = seconds - self._shortest
        self._shortest += difference * (_RISE if difference > 0 else _FALL)

    def is_enough(self, busy: int) -> bool:
        """Tells whether a call had better wait for one of the busy workers than wake another."""
        return busy >= ENOUGH and self._shortest < PATIENCE_SECONDS and not self._processors.have_left()
