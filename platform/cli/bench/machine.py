"""The machine that a run was made on, so that no figure is without it."""

import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import Any, Final

import psutil

from cloudserve.cli import node
from cloudserve.core.confine import tiers
from cloudserve.core.version import VERSION

QUIET_PERCENT: Final = 5.0
"""A run had the machine to itself where all else took less than this of the CPUs in each of its scenarios."""


def describe() -> dict[str, Any]:
    """Returns what the figures depend on: processor, memory, kernel, languages, and the tier of its walls."""
    found = node.node_version()
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memoryGiB": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "node": found[1] if found else None,
        "wrk": _wrk(),
        "cloudserve": VERSION,
        "tier": tiers.detect().tier,
    }


class Elsewhere:
    """How much of the CPUs others take, from its making on: what is used of them without this process and what it runs.

    What it runs counts once it has ended and was waited for, all the way down (getrusage(2), RUSAGE_CHILDREN). Time
    that a hypervisor gave to other machines (`steal`) is others', too.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._used = _used()
        self._own = _own()

    def percent(self) -> float:
        """Returns others' share of all CPUs, in percent."""
        others = (_used() - self._used) - (_own() - self._own)
        room = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        return round(max(0.0, others / room * 100), 1)


def _used() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.steal)


def _own() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _processor() -> str:
    found = re.search(r"^(?:model name|Model)\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _wrk() -> str | None:
    try:
        said = subprocess.run(["wrk", "-v"], capture_output=True, text=True, timeout=10, check=False).stdout  # noqa: S607
    except OSError:
        return None
    found = re.search(r"wrk (?:\S*/)?(\d[\w.]*)", said)
    return found[1] if found else None
