"""How much memory is left on this host, and of what a container or unit may use of it.

Sources: proc(5) on MemAvailable; Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst.
"""

import contextlib
from pathlib import Path
from typing import Final, NamedTuple

from cloudserve.core.confine.cgroups.places import Surroundings

_LEAST_RESERVE_KIB: Final = 64 * 1024
_MOST_RESERVE_KIB: Final = 1024 * 1024
_SHARE: Final = 0.05
_UNLIMITED: Final = 1 << 60
"""Version 1 has a number for no limit, which depends on the size of a page."""


class Room(NamedTuple):
    """The memory of the host or of a group, in KiB, and what is left of it, with caches that can be given up."""

    total: int
    left: int

    @property
    def shortage(self) -> int:
        """What is missing to the reserve: a twentieth of the memory, 64 MiB at least and 1 GiB at most."""
        reserve = min(max(self.total * _SHARE, _LEAST_RESERVE_KIB), _MOST_RESERVE_KIB)
        return max(0, round(reserve) - self.left)


class Pressure:
    """The memory that this process and its workers can still use. A look takes some 50 µs."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        around = Surroundings.read(proc)
        self._meminfo = proc / "meminfo"
        self._groups: list[_Group] = []
        for folder, names in ((around.folders.get("memory"), _V1), (around.unified, _V2)):
            while folder is not None and (folder / names.most).exists():
                self._groups.append(_Group(folder, names))
                folder = folder.parent  # noqa: PLW2901 - up to where the controller ends

    def shortage_kib(self) -> int:
        """Returns how much memory should be given back, by whatever is the tightest."""
        return max(
            (room.shortage for room in (self._host(), *(group.room() for group in self._groups)) if room), default=0
        )

    def _host(self) -> Room | None:
        fields = _fields(self._meminfo)
        with contextlib.suppress(KeyError):
            return Room(fields["MemTotal:"], fields["MemAvailable:"])
        return None


class _Names(NamedTuple):
    most: str
    used: str


_V1: Final = _Names("memory.limit_in_bytes", "memory.usage_in_bytes")
_V2: Final = _Names("memory.max", "memory.current")


class _Group:
    def __init__(self, folder: Path, names: _Names) -> None:
        self._most = folder / names.most
        self._used = folder / names.used
        self._stat = folder / "memory.stat"

    def room(self) -> Room | None:
        """Returns None for a group without a limit, and for one that has gone."""
        try:
            most = self._most.read_text("ascii").strip()
            if most == "max" or int(most) >= _UNLIMITED:
                return None
            used = int(self._used.read_text("ascii"))
        except OSError:
            return None
        stat = _fields(self._stat)
        caches = stat.get("total_inactive_file", stat.get("inactive_file", 0))
        return Room(int(most) // 1024, (int(most) - used + caches) // 1024)


def _fields(file: Path) -> dict[str, int]:
    with contextlib.suppress(OSError):
        return {words[0]: int(words[1]) for words in map(str.split, file.read_text("ascii").splitlines())}
    return {}
