"""The attacker: makes the attack that a call names and says honestly what came of each try.

As a function it is called with `{"attack": name, "targets": {...}}`. As a program (`python main.py`, for functions in
other languages) it reads the same from standard input and prints what it found.
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import descriptors
import exhausting
import files
import forging
import kernel
import leaving
import network
import processes
from kit import Report

ATTACKS = {
    "host-files": files.host_files,
    "other-code": files.other_code,
    "other-environment": processes.other_environment,
    "platform-memory": processes.platform_memory,
    "tree-escapes": files.tree_escapes,
    "writes": files.writes,
    "file-modes": files.file_modes,
    "list-processes": processes.list_processes,
    "signals": processes.signals,
    "tracing": processes.tracing,
    "control-channels": descriptors.control_channels,
    "namespaces": kernel.namespaces,
    "mounts": kernel.mounts,
    "keyrings": kernel.keyrings,
    "kernel-interfaces": kernel.kernel_interfaces,
    "foreign-calls": kernel.foreign_calls,
    "privileges": kernel.privileges,
    "terminals": descriptors.terminals,
    "loopback": network.loopback,
    "private-addresses": network.private_addresses,
    "rebinding": network.rebinding,
    "races": network.races,
    "nonsense": network.nonsense,
    "datagrams": network.datagrams,
    "sockets": network.sockets,
    "listening": network.listening,
    "leave": leaving.leave,
    "find": leaving.find,
}


ABUSES = {
    "fork-bomb": exhausting.fork_bomb,
    "memory": exhausting.memory,
    "memory-in-children": exhausting.memory_in_children,
    "disk": exhausting.disk,
    "inodes": exhausting.inodes,
    "open-files": exhausting.open_files,
    "output": exhausting.output,
    "endless-answer": exhausting.endless_answer,
    "spinning": exhausting.spinning,
    "background": exhausting.background,
    "daemons": exhausting.daemons,
    "runners": exhausting.runners,
    "forge": forging.forge,
}


def attack(request: dict[str, Any]) -> dict[str, Any]:
    """Returns what each try got, and how the others were refused."""
    report = Report()
    ATTACKS[request["attack"]](report, request["targets"])
    return {"got": report.got, "refused": report.refused}


def handler(context: Any) -> Any:
    """The function."""
    request = context["body"]
    if request["attack"] in ABUSES:
        return ABUSES[request["attack"]](request["targets"])
    return attack(request)


if __name__ == "__main__":
    print(json.dumps(attack(json.load(sys.stdin))))
