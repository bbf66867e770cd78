"""What a run uses: the memory and number of its processes, and what lies in the folders that it may write to.

The kernel bounds each process (setrlimit(2)) and, where the run is a user of its own, their number. All of them
together are looked at from outside, at every tier in the same way. What is passed between two looks is not prevented,
but it ends with the run, which is killed.
"""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

_MEBIBYTE: Final = 1024 * 1024
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_LOOK_SECONDS: Final = 0.25
_MOST_OF_TIME: Final = 0.05
"""Counting files may take this share of the time, so that large trees are looked at less often."""


class Usage:
    """Looks at the descendants of this process, and at folders; `bounds` are those of `jail.Bounds`."""

    def __init__(self, folders: Sequence[str], bounds: dict[str, Any]) -> None:
        self._folders = folders
        self._bounds = bounds
        self._next_count = time.monotonic() + _LOOK_SECONDS

    def passed(self) -> str | None:
        """Returns which bound is passed, in words with both figures; None when none is."""
        processes = list(descendants(os.getpid()))
        if len(processes) > self._bounds["processes"]:
            return f"more than {self._bounds['processes']} processes at once"
        used = sum(map(_resident, processes))
        if used > self._bounds["memory_bytes"]:
            return f"{used // _MEBIBYTE} MiB of memory, of {self._bounds['memory_bytes'] // _MEBIBYTE} MiB"
        began = time.monotonic()
        if began < self._next_count:
            return None
        size, count = measure(self._folders)
        ended = time.monotonic()
        self._next_count = ended + max(_LOOK_SECONDS, (ended - began) / _MOST_OF_TIME)
        if size > self._bounds["disk_bytes"]:
            return f"{size // _MEBIBYTE} MiB of disk, of {self._bounds['disk_bytes'] // _MEBIBYTE} MiB"
        if count > self._bounds["files"]:
            return f"{count} files, of {self._bounds['files']}"
        return None


def descendants(pid: int) -> Iterator[int]:
    """Yields all that come of a process, in whatever process namespace (proc(5), /proc/pid/task/tid/children)."""
    waiting = [pid]
    while waiting:
        for child in _children(waiting.pop()):
            yield child
            waiting.append(child)


def measure(folders: Sequence[str]) -> tuple[int, int]:
    """Returns how many bytes of disk folders take, and how many files and folders are in them."""
    size, count = 0, 0
    waiting = list(folders)
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    count += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:  # gone while we looked
            continue
    return size, count


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (thread / "children").read_text("ascii").split())
    except OSError:  # it has ended
        pass
    return found


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * _PAGE
    except OSError:
        return 0
