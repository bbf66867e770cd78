"""Functions that use everything up: each is stopped at its own bound, and others go on as if nothing were."""

import json
from typing import Any

import pytest

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
    """A fork bomb gets so many processes and no more; at tier C the container bounds them."""
    most = 300 if host.tier == "none" else 2000
    for victim in RUNTIMES:
        host.visit(victim)
    answer = abuse(host, "fork-bomb", runtime, most=most)
    if host.tier == "none":
        assert json.loads(answer["body"])["processes"] == most
    elif host.tier != "C":
        if answer["status"] == 200:
            made = json.loads(answer["body"])
            assert made["refused"] == "EAGAIN"
            assert made["processes"] <= BOUNDS.processes
        else:  # so many interpreters are also more memory than it has
            assert answer["reason"] in ("out-of-memory", "processes"), answer
        for victim in RUNTIMES:
            assert host.visit(victim)["cold"] is False
    end(host, "fork-bomb", runtime)


def test_memory_is_bounded(host: Host, runtime: str) -> None:
    """A function that wants more than its limit is told so, and nobody else notices."""
    if host.tier == "none":
        pytest.skip("the memory limit is no wall: it holds without any, which the sandbox's contract tests")
    for attack in {"python": ("memory",), "node": ("memory", "heap")}[runtime]:
        answer = abuse(host, attack, runtime, mebibytes=2000)
        refused = json.loads(answer["body"]) if answer["status"] == 200 else {}
        assert answer["reason"] == "out-of-memory" or refused.get("mebibytes", 2000) < 2 * MEMORY_MB, answer
        end(host, attack, runtime)


def test_memory_of_children_counts(host: Host) -> None:
    """Ten children, each below the limit, are together above it."""
    if host.tier == "none":
        pytest.skip("without walls nobody counts children")
    answer = abuse(host, "memory-in-children", "python", children=10, each=100)
    assert answer["status"] != 200, answer
    end(host, "memory-in-children", "python")


def test_the_disk_is_bounded(host: Host, runtime: str) -> None:
    """The temporary folder has a size of its own; at tier C the container's is the bound."""
    most = 300 if host.tier == "none" else 2000
    answer = abuse(host, "disk", runtime, mebibytes=most)
    if answer["status"] == 200:
        made = json.loads(answer["body"])
        if host.tier == "none":
            assert made["mebibytes"] == most
        elif host.tier != "C":
            assert made["refused"] in ("ENOSPC", "EDQUOT")
            assert made["mebibytes"] <= BOUNDS.disk_mb
        else:
            assert made["mebibytes"] < most
    else:
        assert host.tier == "C", answer
    end(host, "disk", runtime)


def test_inodes_are_bounded(host: Host, runtime: str) -> None:
    """So is the number of files; at tier C a watchdog ends who makes too many."""
    most = 20_000 if host.tier == "none" else 200_000
    answer = abuse(host, "inodes", runtime, most=most)
    if answer["status"] == 200:
        made = json.loads(answer["body"])
        if host.tier == "none":
            assert made["files"] == most
        elif host.tier != "C":
            assert made["refused"] in ("ENOSPC", "EDQUOT")
            assert made["files"] <= BOUNDS.inodes
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
    assert spinning.result(60)["reason"] == "timeout"
    end(host, "spinning", runtime)
