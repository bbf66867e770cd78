"""Control groups: the kernel's own bounds of a worker's memory, processes and share of the processor.

One parent group per platform process, one group below it per worker. Both versions of the interface are spoken:

- version 1 (`v1`): a folder per controller; whoever may write there, in practice root;
- version 2 (`v2`): one tree; the part of it that was handed to us, such as a systemd unit with `Delegate=yes`.

What can be had is found by trying. Where nothing can, the watchdogs of the sandbox stand in.

Sources: Documentation/admin-guide/cgroup-v1/{cgroups,memory,pids}.rst, Documentation/admin-guide/cgroup-v2.rst.
"""

from pathlib import Path

from cloudserve.core.confine.cgroups import v1, v2
from cloudserve.core.confine.cgroups.groups import Group, Parent, Unavailable
from cloudserve.core.confine.cgroups.places import Surroundings

__all__ = ["Group", "Parent", "Unavailable", "open_parent", "probe"]


def probe(proc: Path = Path("/proc")) -> str:
    """Tries whether groups can be made here and leaves all as it was. Returns which version, `v1` or `v2`.

    Raises:
        Unavailable: why not, and what would change it.
    """
    around = Surroundings.read(proc)
    divided = _divided_by_v2(around)
    if divided is None:
        v1.probe(around)
        return "v1"
    v2.probe(around, divided)
    return "v2"


def open_parent(proc: Path = Path("/proc")) -> Parent:
    """Makes the parent group of this process, and removes those of platforms that have ended.

    With version 2 this process itself is moved one level down, because only a group without processes can hand its
    controllers on.

    Raises:
        Unavailable: why not, and what would change it.
    """
    around = Surroundings.read(proc)
    divided = _divided_by_v2(around)
    return v1.open_parent(around) if divided is None else v2.open_parent(around, divided)


def _divided_by_v2(around: Surroundings) -> Path | None:
    """Returns our folder of version 2 where it has the controllers: it may also be mounted beside version 1 without."""
    return None if "memory" in around.folders else around.unified
