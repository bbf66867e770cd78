"""A worker's own view of its memory: the peak of what it holds alone, in KiB.

Pages of the interpreter's files are shared among all workers and not counted.
"""

import resource
from pathlib import Path

_shared = 0


def leave_out_shared() -> None:
    """Takes note of the shared pages; called once, after the fork."""
    global _shared  # noqa: PLW0603 - one process, one number
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[2])
    _shared = pages * resource.getpagesize() // 1024


def peak_kib() -> int:
    """Returns the peak so far."""
    return max(0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - _shared)
