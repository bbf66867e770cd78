"""A file that one process of this host holds at a time.

Two platforms run on one data folder while one hands over to the next. Where only one owner may be served at a time, the
next one begins when the one before it has ended what it served, and holds the turnstile until then. The kernel lets go
of it when its holder dies (flock(2)).
"""

import fcntl
import os
from pathlib import Path


class Turnstile:
    """The lock on a file, which is made when there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def enter(self) -> bool:
        """Takes the lock, or keeps it; tells whether this process has it now."""
        if self._descriptor >= 0:
            return True
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def leave(self) -> None:
        """Lets go of the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
