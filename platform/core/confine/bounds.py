"""What a worker may use beside time and memory, which are its function's own to set.

These are the platform's bounds: one set for all workers, because the host is shared by all of them. What a call that
reaches one is told is in `sandbox/limits.py`.
"""

from dataclasses import dataclass
from typing import Final

_MEBIBYTE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of one worker.

    Args:
        processes: processes and threads at once, its own main thread included. Node.js alone has eleven.
        open_files: descriptors at once in one process.
        disk_mb: the files in its folder together, in MiB; no single file can be larger.
        inodes: files and folders in its folder.
        log_kb: what is kept of one call's output, in KiB.
    """

    processes: int = 64
    open_files: int = 1024
    disk_mb: int = 64
    inodes: int = 8192
    log_kb: int = 256

    @property
    def disk_bytes(self) -> int:
        """The size of the folder, and of the largest file (`RLIMIT_FSIZE`)."""
        return self.disk_mb * _MEBIBYTE

    @property
    def log_bytes(self) -> int:
        """What is kept of one call's output."""
        return self.log_kb * 1024
