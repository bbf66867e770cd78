"""What one process uses, as /proc tells (proc(5)), for a microsecond or two a look.

The files stay open between looks: opening them is what costs. They also stay the same process's, whose number the
kernel may give to another.
"""

import os
from typing import Final, NamedTuple

_KIB_PER_PAGE: Final = os.sysconf("SC_PAGE_SIZE") // 1024
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_READ_BYTES: Final = 1024


class Look(NamedTuple):
    """What a process has used so far, with its children that have ended; `threads` are those of now."""

    cpu_seconds: float
    threads: int


class Gauge:
    """The gauge of a process. A process that has ended uses nothing. `close` it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._memory = _open(f"/proc/{pid}/statm")
        self._stat = _open(f"/proc/{pid}/stat")

    def memory_kib(self) -> int:
        """Returns its anonymous resident memory in KiB: without pages of files, which it may share with others."""
        fields = _read(self._memory).split()
        return (int(fields[1]) - int(fields[2])) * _KIB_PER_PAGE if fields else 0

    def share_kib(self) -> int:
        """Returns the same, a page that several processes share divided among them; for ten to a hundred times as much.

        A process that does not let itself be looked into (prctl(2), PR_SET_DUMPABLE) is reckoned to share nothing.
        """
        descriptor = _open(f"/proc/{self.pid}/smaps_rollup")
        lines = _read(descriptor).splitlines()
        if descriptor >= 0:
            os.close(descriptor)
        shares = (int(line.split()[1]) for line in lines if line.startswith(b"Pss_Anon:"))
        return next(shares, self.memory_kib())

    def look(self) -> Look:
        """Returns its times and threads."""
        fields = _read(self._stat).rpartition(b")")[2].split(None, 18)
        if not fields:
            return Look(0.0, 0)
        return Look(sum(map(int, fields[11:15])) / _TICKS, int(fields[17]))

    def close(self) -> None:
        """Closes its files."""
        for descriptor in (self._memory, self._stat):
            if descriptor >= 0:
                os.close(descriptor)
        self._memory = self._stat = -1


def parent_of(pid: int) -> int:
    """Returns the parent of a process; 0 for one that has ended, and for a thread that is not its process's first."""
    descriptor = _open(f"/proc/{pid}/stat")
    if descriptor < 0:
        return 0
    try:
        fields = _read(descriptor).rpartition(b")")[2].split()
    finally:
        os.close(descriptor)
    if not fields or int(fields[35]) < 0:  # exit_signal: none for a thread
        return 0
    return int(fields[1])


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _read(descriptor: int) -> bytes:
    if descriptor < 0:
        return b""
    try:
        return os.pread(descriptor, _READ_BYTES, 0)
    except OSError:  # ESRCH: it has ended
        return b""
