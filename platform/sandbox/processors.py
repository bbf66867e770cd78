"""Whether the processors of this host have anything left to give."""

import time
from pathlib import Path
from typing import Final

WINDOW_SECONDS: Final = 0.1
"""How far apart two looks are: the kernel counts in hundredths of a second (USER_HZ, time(7)), per processor."""

_LEFT: Final = 0.2
"""The idle share from which on there is something left: more than the gaps that a saturated host has as well."""

_IDLE, _WAITING = 3, 4  # the columns idle and iowait of /proc/stat's first line (proc(5))


class Processors:
    """Of the host, as /proc/stat counts their time. Looks at it when asked, every `WINDOW_SECONDS` at most."""

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        self._stat = stat
        self._next = 0.0
        self._total = 0
        self._idle = 0
        self._has_left = False

    def have_left(self) -> bool:
        """Tells whether a fair part of their time was idle of late; False where that can't be told."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + WINDOW_SECONDS
            self._look()
        return self._has_left

    def _look(self) -> None:
        try:
            with self._stat.open(encoding="ascii") as file:
                counts = [int(count) for count in file.readline().split()[1:9]]
            total, idle = sum(counts), counts[_IDLE] + counts[_WAITING]
        except (OSError, ValueError, IndexError):
            total = idle = 0
        passed = total - self._total
        self._has_left = passed > 0 and idle - self._idle >= _LEFT * passed
        self._total, self._idle = total, idle
