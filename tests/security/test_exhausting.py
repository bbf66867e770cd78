"""Functions that use everything up: each is stopped at its own bound, and others go on as if nothing were.

Limits hold without walls as well, so the platform without any is no exception here.
"""

import json
from typing import Any

from cloudserve.core.confine.bounds import Bounds
from tests.security.hosts import RUNTIMES, Host

COVERS = ("fork-bomb", "memory", "disk", "inodes", "open-files", "output", "spinning")

BOUNDS = Bounds()
MEMORY_MB = 128


def abuse(host: Host, attack: str, runtime: str, **targets: Any) -> dict[str, Any]:
    """Deploys an attacker of its own for the attack and calls it."""
    name = f"abuser-{attack}-{runtime}"
    host.deploy_attacker(runtime, name, limits={"memory_mb": MEMORY_MB, "timeout_seconds": 20})
    return host("call", name=name, body={"attack": attack, "targets": targets})


def end(host: Host, attack: str, runtime: str) -> None:
    """Ends the attacker; everything that it started or filled is gone, and the victims are served anew."""
    host("retire", name=f"abuser-{attack}-{runtime}")
    for victim in RUNTIMES:
        host.visit(victim)


def test_processes_are_bounded(host: Host, runtime: str) -> None:
    """A fork bomb gets so many processes and no more. Where workers share a process table it is ended by a watchdog,
    and until then others may be refused a process: at tier C they are the same owner's.
    """
    for victim in RUNTIMES:
        host.visit(victim)
    answer = abuse(host, "fork-bomb", runtime, most=350)
    if answer["status"] == 200:
        made = json.loads(answer["body"])
        assert made["refused"] == "EAGAIN" or made["processes"] < 350, made
        assert host.tier not in ("A", "B") or made["processes"] <= BOUNDS.processes
    else:  # so many interpreters are also more memory than it has
        assert answer["reason"] in ("out-of-memory", "processes"), answer
    if host.tier in ("A", "B"):
        for victim in RUNTIMES:
            assert host.visit(victim)["cold"] is False
    end(host, "fork-bomb", runtime)


def test_memory_is_bounded(host: Host, runtime: str) -> None:
    """A function that wants more than its limit is told so, and nobody else notices."""
    for attack in {"python": ("memory",), "node": ("memory", "heap")}[runtime]:
        answer = abuse(host, attack, runtime, mebibytes=2000)
        refused = json.loads(answer["body"]) if answer["status"] == 200 else {}
        assert answer["reason"] == "out-of-memory" or refused.get("mebibytes", 2000) < 2 * MEMORY_MB, answer
        end(host, attack, runtime)


def test_memory_of_children_counts(host: Host) -> None:
    """Ten children, each below the limit, are together above it."""
    answer = abuse(host, "memory-in-children", "python", children=10, each=100)
    assert answer["reason"] == "out-of-memory", answer
    end(host, "memory-in-children", "python")


def test_the_disk_is_bounded(host: Host, runtime: str) -> None:
    """The temporary folder has a size of its own; where it has no file system of its own, a watchdog sees to it."""
    answer = abuse(host, "disk", runtime, mebibytes=2000)
    if answer["status"] == 200:
        made = json.loads(answer["body"])
        assert made["refused"] in ("ENOSPC", "EDQUOT", "EFBIG"), made
        assert host.tier not in ("A", "B") or made["mebibytes"] <= BOUNDS.disk_mb
    else:
        assert answer["reason"] == "disk-full", answer
    end(host, "disk", runtime)


def test_inodes_are_bounded(host: Host, runtime: str) -> None:
    """So is the number of files; a watchdog may come after a hundred thousand of them, which go with the worker."""
    answer = abuse(host, "inodes", runtime, most=100_000)
    if host.tier in ("A", "B"):
        made = json.loads(answer["body"])
        assert made["refused"] in ("ENOSPC", "EDQUOT"), made
        assert made["files"] <= BOUNDS.inodes
    else:
        assert answer["status"] == 200 or answer["reason"] == "inodes", answer
    end(host, "inodes", runtime)


def test_descriptors_are_bounded(host: Host, runtime: str) -> None:
    """A worker has so many descriptors, those on their way through sockets included; the platform keeps its own."""
    before = host("look")["descriptors"]
    answer = abuse(host, "open-files", runtime, most=100_000)
    made = json.loads(answer["body"])
    assert made["refused"] == "EMFILE"
    assert made["opened"] <= BOUNDS.open_files
    assert host("look")["descriptors"] <= before + 20
    end(host, "open-files", runtime)


def test_output_is_bounded(host: Host, runtime: str) -> None:
    """Of a flood the beginning is kept, and the platform's memory stays what it was."""
    before = host("look")["peak_mb"]
    answer = abuse(host, "output", runtime, kilobytes=40_000)
    assert answer["logged"] <= BOUNDS.log_bytes
    assert answer["truncated"]
    assert host("look")["peak_mb"] < before + 30
    end(host, "output", runtime)


def test_answers_are_bounded(host: Host, runtime: str) -> None:
    """An answer without end is cut off at the platform's bound."""
    answer = abuse(host, "endless-answer", runtime)
    assert answer["reason"] == "response-too-large"
    end(host, "endless-answer", runtime)


def test_who_spins_holds_up_nobody(host: Host, runtime: str) -> None:
    """While a function keeps every processor busy, others are answered; its time ends it, and all that it started."""
    name = f"abuser-spinning-{runtime}"
    host.deploy_attacker(runtime, name, limits={"timeout_seconds": 2})
    spinning = host.order("call", name=name, body={"attack": "spinning", "targets": {"processes": 4}})
    while not host("look")["workers"][name]:
        host.visit("python")
    for victim in RUNTIMES * 5:
        host.visit(victim)
    assert spinning.result(60)["reason"] in ("timeout", "cpu")
    end(host, "spinning", runtime)
