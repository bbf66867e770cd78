"""Stack locks of dead owners."""

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cloudserve.cli.pulumi_locks import clear_dead_locks


def lock(backend: Path, pid: int, *, stack: str = "local", host: str = "", age: timedelta = timedelta()) -> Path:
    """Writes a lock as Pulumi does."""
    file = backend / ".pulumi" / "locks" / "organization" / "cloudserve" / stack / f"{pid}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    since = (datetime.now(UTC) - age).isoformat()
    owner = {"pid": pid, "username": "ann", "hostname": host or socket.gethostname(), "timestamp": since}
    file.write_text(json.dumps(owner))
    file.with_name(f"{file.name}.attrs").touch()
    return file


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_clears_the_lock_of_a_dead_owner(tmp_path: Path, dead: int) -> None:
    """With all that belongs to it, and tells whose it was."""
    file = lock(tmp_path, dead)
    assert clear_dead_locks(tmp_path.as_uri(), "local") == [dead]
    assert list(file.parent.iterdir()) == []


def test_leaves_the_lock_of_a_live_owner(tmp_path: Path) -> None:
    """Another update is at work."""
    file = lock(tmp_path, os.getpid())
    assert clear_dead_locks(tmp_path.as_uri(), "local") == []
    assert file.exists()


def test_clears_a_lock_whose_owners_number_was_given_anew(tmp_path: Path) -> None:
    """A process that began after the lock was taken did not take it."""
    lock(tmp_path, os.getpid(), age=timedelta(days=30))
    assert clear_dead_locks(tmp_path.as_uri(), "local") == [os.getpid()]


def test_leaves_what_it_can_not_judge(tmp_path: Path, dead: int) -> None:
    """Other hosts' locks, other stacks' locks, what is no lock, and backends that are no folder."""
    kept = [lock(tmp_path, dead, host="elsewhere"), lock(tmp_path, dead, stack="prod")]
    torn = kept[0].with_name("torn.json")
    torn.write_text("{")
    assert clear_dead_locks(tmp_path.as_uri(), "local") == []
    assert clear_dead_locks("s3://state", "local") == []
    assert all(file.exists() for file in [*kept, torn])
