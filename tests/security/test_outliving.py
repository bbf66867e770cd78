"""Functions that go on after their answer: for as long as their worker lives, and not a moment longer."""

import secrets
import time
from pathlib import Path

from tests.security.hosts import RUNTIMES, Host

COVERS = ("background", "daemons")


def living(mark: str) -> list[int]:
    """Returns the processes on this machine that carry a mark in their name or command line."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                names = (folder / "cmdline").read_bytes() + (folder / "comm").read_bytes()
                if mark.encode() in names:
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def test_background_work_ends_with_the_worker(host: Host, runtime: str) -> None:
    """Threads and timers beat on in their worker; what they print is nobody else's, and they end with it."""
    mark, name = f"beat-{secrets.token_hex(8)}", f"background-{runtime}"
    host.deploy_attacker(runtime, name)
    assert host("call", name=name, body={"attack": "background", "targets": {"mark": mark}})["status"] == 200
    time.sleep(0.3)
    for victim in RUNTIMES:
        assert mark not in str(host.visit(victim))
    beats = {path: path.stat().st_size for path in (host.folder / "work").rglob("beat")}
    host("retire", name=name)
    again = {path: path.stat().st_size for path in (host.folder / "work").rglob("beat")}
    assert again == {}, (beats, again)


def test_detached_processes_end_with_the_worker(host: Host, runtime: str) -> None:
    """Neither a session of their own, nor being orphaned, nor deafness to signals saves them."""
    mark, name = f"daemon-{secrets.token_hex(8)}", f"daemons-{runtime}"
    host.deploy_attacker(runtime, name)
    targets = {"mark": mark, "python": str(host.place.interpreter)}
    assert host("call", name=name, body={"attack": "daemons", "targets": targets})["status"] == 200
    assert living(mark), "the attack itself did not work"
    host("retire", name=name)
    ends_at = time.monotonic() + 5
    while living(mark) and time.monotonic() < ends_at:
        time.sleep(0.02)
    assert living(mark) == []


def test_processes_that_run_away_end_with_the_worker(host: Host) -> None:
    """Not even those that have a successor before anybody could end them stay."""
    mark = secrets.token_hex(6)
    host.deploy_attacker("python", "runners")
    assert (
        host("call", name="runners", body={"attack": "runners", "targets": {"mark": mark, "runners": 3}})["status"]
        == 200
    )
    assert running_away(mark), "the attack itself did not work"
    host("retire", name="runners")
    ends_at = time.monotonic() + 5
    while (left := running_away(mark)) and time.monotonic() < ends_at:
        time.sleep(0.05)
    assert not left


def running_away(mark: str) -> bool:
    """Whether one of them is met in many looks: in any single one they may be between two processes."""
    return any(living(mark) for _ in range(20))


def test_they_end_with_a_worker_that_is_killed(host: Host, runtime: str) -> None:
    """Also when the worker did not end by itself but ran out of time."""
    mark, name = f"daemon-{secrets.token_hex(8)}", f"killed-{runtime}"
    host.deploy_attacker(runtime, name, limits={"timeout_seconds": 3, "concurrency": 2})
    targets = {"mark": mark, "python": str(host.place.interpreter), "processes": 1}
    host("call", name=name, body={"attack": "daemons", "targets": targets})
    assert living(mark)
    answer = host("call", name=name, body={"attack": "spinning", "targets": targets})
    assert answer["reason"] in ("timeout", "cpu")
    ends_at = time.monotonic() + 5
    while living(mark) and time.monotonic() < ends_at:
        time.sleep(0.02)
    assert living(mark) == []
