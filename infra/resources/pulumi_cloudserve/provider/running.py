"""What is known of a platform that runs, or ran, on a data folder.

The supervisor holds a lock on `run/lock`, which its platform process inherits, and writes `run/supervisor.json`:

    pid, started     the supervisor's process id, and when it was started (seconds since 1970)
    state            starting, ready, failed or stopping
    instance         the token of the settings in effect
    failed, error    the token of the newest settings that could not be taken up, and why
"""

import fcntl
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from pulumi_cloudserve.provider.files import read_json

SAME_SECONDS: Final = 5.0
"""Start times of one process may differ this much: they are counted from the boot time, which the clock moves."""

ORPHAN_SECONDS: Final = 45.0
"""How long a platform process may finish its calls after its supervisor has gone."""


@dataclass(frozen=True, slots=True)
class Running:
    """Finds, signals and waits for the platform on one data folder."""

    data: Path

    @property
    def record(self) -> dict[str, Any]:
        """What its supervisor wrote last."""
        return read_json(self.data / "run" / "supervisor.json")

    def is_alive(self) -> bool:
        """Tells whether any process of the platform lives."""
        try:
            lock = os.open(self.data / "run" / "lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(lock)
        return False

    def supervisor(self) -> psutil.Process | None:
        """Returns the supervisor if it lives: a process with its number that was started at another time is not it."""
        record = self.record
        try:
            process = psutil.Process(int(record["pid"]))
            started = process.create_time()
            zombie = process.status() == psutil.STATUS_ZOMBIE
        except (KeyError, ValueError, psutil.Error):
            return None
        return process if abs(started - float(record["started"])) < SAME_SECONDS and not zombie else None

    def signal(self, number: signal.Signals) -> bool:
        """Signals the supervisor; tells whether there was one."""
        supervisor = self.supervisor()
        if supervisor is None:
            return False
        try:
            supervisor.send_signal(number)
        except psutil.NoSuchProcess:
            return False
        return True

    def wait_until_gone(self, seconds: float) -> bool:
        """Waits until no process of the platform lives; tells whether that came about."""
        until = time.monotonic() + seconds
        while self.is_alive():
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    def clear_orphans(self) -> bool:
        """Waits for what outlived its supervisor, and kills it when that takes too long; tells whether all is gone."""
        if self.wait_until_gone(ORPHAN_SECONDS):
            return True
        for process in holders(self.data / "run" / "lock"):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        return self.wait_until_gone(5)


def holders(file: Path) -> list[psutil.Process]:
    """Returns this user's processes that have a file open."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(Path(opened.path) == file for opened in process.open_files()):
                found.append(process)
        except psutil.Error:
            continue
    return found
