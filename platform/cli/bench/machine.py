"""The machine that a run was made on, so that no figure is without it."""

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import psutil

from cloudserve.cli import node
from cloudserve.core.confine import tiers
from cloudserve.core.version import VERSION

QUIET_PERCENT: Final = 5.0
"""A run had the machine to itself where all else took less than this of the CPUs, whenever it looked."""

_LOOK_SECONDS: Final = 1.0


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


def busy_elsewhere() -> float:
    """Returns how much of all CPUs is taken just now, in percent; call it while nothing of the run is at work."""
    return psutil.cpu_percent(_LOOK_SECONDS)


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
