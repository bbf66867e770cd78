"""Which processes have come up since the last look, without a look at all of them.

The kernel numbers processes and threads in order, and the last field of /proc/loadavg is the newest number (proc(5)).
One read of it says whether there is anything new at all, and the numbers in between are all there is to look at.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cloudserve.sandbox.watch.gauge import parent_of

_MOST_NUMBERS: Final = 256
"""Above so many new numbers, most of which may be threads or gone, a look at all processes costs less."""


class Births:
    """Told of every process that lives long enough to be seen. `close` it."""

    def __init__(self) -> None:
        self._file = os.open("/proc/loadavg", os.O_RDONLY | os.O_CLOEXEC)
        self._last = self._newest()
        self._unseen: list[int] = []

    def since_last_look(self) -> Iterator[tuple[int, int]]:
        """Yields process and parent, the older first."""
        newest, last = self._newest(), self._last
        unseen, self._unseen = self._unseen, []
        self._last = newest
        if newest == last and not unseen:
            return
        if last <= newest <= last + _MOST_NUMBERS:
            pids: Iterator[int] = iter((*unseen, *range(last + 1, newest + 1)))
        else:  # many, or the numbers began anew
            pids = _all()
        for pid in pids:
            parent = parent_of(pid)
            if parent:
                yield pid, parent
            elif pid > last:
                self._unseen.append(pid)  # a number is taken a moment before its process can be seen

    def close(self) -> None:
        """Closes what it reads."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _newest(self) -> int:
        return int(os.pread(self._file, 128, 0).split()[-1])


def _all() -> Iterator[int]:
    return iter(sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()))
