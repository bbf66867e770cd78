"""The memory watchdog: what a worker holds alone, as the kernel counts it, against what it may have.

It stands in for a memory cgroup. Pages of files, which workers share, are left out. Between two looks a worker can grow
by what RLIMIT_DATA leaves it, no further.
"""

import os
from typing import Final

_KIB_PER_PAGE: Final = os.sysconf("SC_PAGE_SIZE") // 1024


def resident_kib(pid: int) -> int:
    """Returns the anonymous resident memory of a process in KiB; 0 when it has ended."""
    try:
        fd = os.open(f"/proc/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
        try:
            fields = os.read(fd, 128).split()
        finally:
            os.close(fd)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return (int(fields[1]) - int(fields[2])) * _KIB_PER_PAGE
