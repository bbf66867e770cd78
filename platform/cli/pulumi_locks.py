"""Stack locks whose owner is dead.

Pulumi locks a stack in a file backend with a file that names process, host and time, and leaves it there when it is
killed. Such a lock is removed; one whose owner lives, or works on another host, is not.
"""

import json
import socket
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psutil


def clear_dead_locks(backend: str, stack: str) -> list[int]:
    """Removes the dead locks of a stack and returns the process ids of their owners."""
    if not backend.startswith("file://"):
        return []
    folder = Path(unquote(urlsplit(backend).path)) / ".pulumi" / "locks"
    cleared = []
    for file in folder.glob(f"**/{stack}/*.json"):
        try:
            lock = json.loads(file.read_text())
            pid, host, since = int(lock["pid"]), lock["hostname"], datetime.fromisoformat(lock["timestamp"])
        except (OSError, ValueError, KeyError):
            continue
        if host == socket.gethostname() and not _lives(pid, since):
            file.unlink(missing_ok=True)
            file.with_name(f"{file.name}.attrs").unlink(missing_ok=True)
            cleared.append(pid)
    return cleared


def _lives(pid: int, since: datetime) -> bool:
    """Tells whether the process that took the lock lives: one that began later only has its number."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= since.timestamp() + 5
    except psutil.NoSuchProcess:
        return False
