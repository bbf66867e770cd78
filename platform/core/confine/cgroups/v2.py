"""Control groups, version 2: one tree, of which a part was handed to us.

Only a group without processes of its own can hand controllers to those below it, so the processes of our group, which
are this one and its supervisor, move into a group below it, `LEAF`, first.
"""

import contextlib
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

LEAF: Final = "cloudserve"
"""The group of the platform's own processes."""

_ORDINARY_WEIGHT: Final = 100
_MOST_WEIGHT: Final = 10_000
_TRIAL: Final = "-trial"
_REMEDY: Final = (
    "Give the platform a part of the tree of its own, as a systemd unit with Delegate=yes does: "
    "`systemd-run --user --scope -p Delegate=yes ./cloudserve up`."
)


class _Group(Group):
    def __init__(self, folders: list[Path]) -> None:
        super().__init__(folders)
        self._folder = self.folders[0]

    def bound(self, *, memory_bytes: int, processes: int) -> None:
        self._set("memory.max", memory_bytes)
        self._set("memory.oom.group", 1)  # a worker without one of its processes is no use to anybody
        with contextlib.suppress(FileNotFoundError, PermissionError):  # a kernel may not account for swap
            self._set("memory.swap.max", 0)
        self._set("pids.max", processes)

    def oom_kills(self) -> int:
        return read_field(self._folder / "memory.events", "oom_kill")

    def peak_bytes(self) -> int:
        """Needs Linux 5.19; 0 before."""
        return read_number(self._folder / "memory.peak")

    def _set(self, name: str, value: int) -> None:
        write(self._folder / name, str(value))


class _Parent(Parent):
    def _group(self, folders: list[Path]) -> Group:
        return _Group(folders)


def probe(around: Surroundings, own: Path) -> None:
    """Makes and removes a group, and looks whether controllers could be had; moves nobody. Raises `Unavailable`."""
    own = _above_leaf(around, own)
    trial = own / (around.own_name() + _TRIAL)
    try:
        trial.mkdir()
        remove_folder(trial)
    except OSError as error:
        raise _refused(error, own) from error
    if not os.access(own / "cgroup.subtree_control", os.W_OK) or not os.access(own / "cgroup.procs", os.W_OK):
        raise Unavailable(f"The control group {own} was not handed to us.", _REMEDY)


def open_parent(around: Surroundings, own: Path) -> Parent:
    """Moves us to the leaf and makes the parent group. Raises `Unavailable`."""
    own = _above_leaf(around, own)
    parent = own / around.own_name()
    try:
        (own / LEAF).mkdir(exist_ok=True)
        for pid in (own / "cgroup.procs").read_text("ascii").split():
            with contextlib.suppress(ProcessLookupError):
                write(own / LEAF / "cgroup.procs", pid)
        controllers = _hand_on(own)
        for left in [path for path in own.iterdir() if around.is_stale(path.name)]:
            remove_tree(left)
        parent.mkdir(exist_ok=True)
        _hand_on(parent)
        if "cpu" in controllers:
            weight = round(_ORDINARY_WEIGHT * NICENESS_OF_WORKERS * (os.cpu_count() or 1))
            write(parent / "cpu.weight", str(min(weight, _MOST_WEIGHT)))
    except OSError as error:
        raise _refused(error, own) from error
    return _Parent([parent], controllers)


def _above_leaf(around: Surroundings, own: Path) -> Path:
    """Returns the folder that is ours to divide. Raises `Unavailable` where none is."""
    if own.name == LEAF:  # an earlier process of this platform has moved us there, with its supervisor
        own = own.parent
    try:
        offered = (own / "cgroup.controllers").read_text("ascii").split()
        others = set((own / "cgroup.procs").read_text("ascii").split()) - around.ancestors()
    except OSError as error:
        raise _refused(error, own) from error
    missing = [controller for controller in NEEDED if controller not in offered]
    if missing:
        raise Unavailable(f"The control group {own} has no controller for {' and '.join(missing)}.", _REMEDY)
    if others:
        raise Unavailable(f"The control group {own} is not the platform's alone.", _REMEDY)
    return own


def _hand_on(folder: Path) -> frozenset[str]:
    """Enables the controllers for the groups below a folder. Returns which."""
    offered = (folder / "cgroup.controllers").read_text("ascii").split()
    wanted = [name for name in (*NEEDED, *WELCOME) if name in offered]
    write(folder / "cgroup.subtree_control", " ".join(f"+{name}" for name in wanted))
    return frozenset(wanted)


def _refused(error: OSError, own: Path) -> Unavailable:
    return Unavailable(f"No control group can be made below {own}: {error.strerror}.", _REMEDY)
