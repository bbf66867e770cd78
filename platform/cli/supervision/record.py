"""How others find a running platform: a lock, held as long as any of its processes lives, and a record beside it.

The lock (`run/lock`, flock) tells *whether* a platform runs on this data; it is inherited by the platform process, so
that it also tells of one that outlived its supervisor. The record (`run/supervisor.json`) tells *which*: process id
and start time, and how the newest settings fared. The provider plugin reads both; its `platform_process` documents the
same names.
"""

import fcntl
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Literal

import psutil

State = Literal["starting", "ready", "failed", "stopping"]


class AlreadyRunning(Exception):  # noqa: N818 - reads as what happened
    """Another platform runs on this data folder."""


class Record:
    """The lock and the record of one supervisor. Raises `AlreadyRunning` when another one has the lock."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / "supervisor.json"
        self.lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self.lock)
            raise AlreadyRunning(f"another platform runs on {folder.parent}") from None
        self._content: dict[str, Any] = {"pid": os.getpid(), "started": psutil.Process().create_time()}

    def update(self, **changes: Any) -> None:
        """Writes the record with these changes; by rename, so that readers see all of it or none."""
        self._content.update(changes)
        descriptor, draft = tempfile.mkstemp(dir=self._path.parent, prefix=".supervisor-")
        with os.fdopen(descriptor, "w") as file:
            json.dump(self._content, file)
        Path(draft).replace(self._path)

    def remove(self) -> None:
        """Removes the record. The lock goes with the last process that holds it."""
        self._path.unlink(missing_ok=True)
