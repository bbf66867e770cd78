"""The memory of processes, from the kernel's own accounts (proc_pid_smaps(5))."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cloudserve.cli.bench.processes import tree
from cloudserve.cli.output import CommandError

_LINE: Final = re.compile(r"^(Rss|Pss):\s+(\d+) kB$", re.MULTILINE)


def proportional_kib(pids: Iterable[int]) -> int:
    """Returns the PSS of some processes, in KiB: what is shared counts in parts, so that the sum is what they take."""
    return sum(_rollup(pid)["Pss"] for pid in pids)


def resident_kib(pids: Iterable[int]) -> int:
    """Returns the RSS of some processes, in KiB."""
    return sum(_rollup(pid)["Rss"] for pid in pids)


def tree_proportional_kib(pid: int) -> int:
    """Returns the PSS of a process and all below it, in KiB."""
    return proportional_kib(tree(pid))


def _rollup(pid: int) -> dict[str, int]:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        text = ""  # it has just ended
    except PermissionError as error:
        raise CommandError(
            f"The memory of process {pid} may not be read by this user. Remedy: run `cloudserve bench` as root, or "
            "name only scenarios that do not measure memory.",
            reason="not-allowed",
        ) from error
    return {"Rss": 0, "Pss": 0} | {name: int(kib) for name, kib in _LINE.findall(text)}
