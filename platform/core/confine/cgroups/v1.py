"""Control groups, version 1: a tree of folders for each controller."""

import os
from pathlib import Path
from typing import Final

from cloudserve.core.confine.cgroups.groups import (
    NEEDED,
    NICENESS_OF_WORKERS,
    WELCOME,
    Group,
    Parent,
    Unavailable,
    read_field,
    read_number,
    remove_folder,
    remove_tree,
    write,
)
from cloudserve.core.confine.cgroups.places import Surroundings

_ORDINARY_WEIGHT: Final = 1024
_TRIAL: Final = "-trial"


class _Group(Group):
    def __init__(self, folders: list[Path]) -> None:
        super().__init__(folders)
        self._memory, self._pids = self.folders[:2]

    def bound(self, *, memory_bytes: int, processes: int) -> None:
        with_swap = self._memory / "memory.memsw.limit_in_bytes"
        has_swap = with_swap.exists()  # a kernel may not account for it
        if has_swap:
            write(with_swap, "-1")  # it may never be below the other
        write(self._memory / "memory.limit_in_bytes", str(memory_bytes))
        if has_swap:
            write(with_swap, str(memory_bytes))
        write(self._pids / "pids.max", str(processes))

    def oom_kills(self) -> int:
        return read_field(self._memory / "memory.oom_control", "oom_kill")

    def peak_bytes(self) -> int:
        return read_number(self._memory / "memory.max_usage_in_bytes")


class _Parent(Parent):
    def _group(self, folders: list[Path]) -> Group:
        return _Group(folders)


def probe(around: Surroundings) -> None:
    """Makes and removes a group of each controller that is needed. Raises `Unavailable`."""
    name = around.own_name() + _TRIAL
    try:
        for folder in _own_folders(around).values():
            (folder / name).mkdir()
            remove_folder(folder / name)
    except OSError as error:
        raise _refused(error) from error


def open_parent(around: Surroundings) -> Parent:
    """Makes the parent group. Raises `Unavailable`."""
    own = _own_folders(around)
    parents = [folder / around.own_name() for folder in own.values()]
    try:
        for folder in own.values():
            for left in [path for path in folder.iterdir() if around.is_stale(path.name)]:
                remove_tree(left)
        for parent in parents:
            parent.mkdir(exist_ok=True)
        if "cpu" in own:
            weight = round(_ORDINARY_WEIGHT * NICENESS_OF_WORKERS * (os.cpu_count() or 1))
            write(own["cpu"] / around.own_name() / "cpu.shares", str(weight))
    except OSError as error:
        for parent in parents:
            remove_tree(parent)
        raise _refused(error) from error
    return _Parent(parents, frozenset(own))


def _own_folders(around: Surroundings) -> dict[str, Path]:
    missing = [controller for controller in NEEDED if controller not in around.folders]
    if missing:
        raise Unavailable(
            f"There is no control group for {' and '.join(missing)} to be seen.",
            "In a container, make /sys/fs/cgroup of the host visible and writable to it.",
        )
    return {name: around.folders[name] for name in (*NEEDED, *WELCOME) if name in around.folders}


def _refused(error: OSError) -> Unavailable:
    return Unavailable(
        f"Control groups can't be made in {Path(error.filename or '/sys/fs/cgroup').parent}: {error.strerror}.",
        "Version 1 is for root: start the platform as root, or boot with systemd.unified_cgroup_hierarchy=1.",
    )
