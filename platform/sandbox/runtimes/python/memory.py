"""A worker's own view of its memory: the peak of what it holds beyond what the bare runtime held, in KiB."""

import resource
from pathlib import Path

_bare = 0


def leave_out_runtime() -> None:
    """Takes note of what the runtime holds by itself; called once, before user code is loaded."""
    global _bare  # noqa: PLW0603 - one process, one number
    pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    _bare = pages * resource.getpagesize() // 1024


def peak_kib() -> int:
    """Returns the peak so far."""
    return max(0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - _bare)
