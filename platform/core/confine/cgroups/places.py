"""Where this process stands: its groups, and where their file systems are mounted."""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Self

OURS: Final = "cloudserve-"
"""How the name of each parent group begins; its process's id and start follow."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What /proc says of the groups of this process.

    `folders` has the folder of its own group for each controller of version 1; `unified` that of version 2.
    """

    proc: Path
    folders: dict[str, Path]
    unified: Path | None

    @classmethod
    def read(cls, proc: Path) -> Self:
        """Reads /proc/self/cgroup and /proc/self/mountinfo (proc(5))."""
        groups: dict[str, str] = {}
        for line in _lines(proc / "self" / "cgroup"):
            _, controllers, path = line.split(":", 2)
            groups.update(dict.fromkeys(controllers.split(","), path))
        folders: dict[str, Path] = {}
        unified: Path | None = None
        for line in _lines(proc / "self" / "mountinfo"):
            before, _, after = line.partition(" - ")
            root, mounted_at = (_unescaped(part) for part in before.split()[3:5])
            kind, _, options = after.split(" ", 2)
            if kind == "cgroup2" and "" in groups:
                unified = _below(mounted_at, root, groups[""])
            elif kind == "cgroup":
                for controller in options.split(","):
                    if controller in groups:
                        folders.setdefault(controller, _below(mounted_at, root, groups[controller]))
        return cls(proc, folders, unified)

    def own_name(self) -> str:
        """Returns the name of this process's parent group, which no other process ever has."""
        pid = os.getpid()
        return f"{OURS}{pid}-{start_of(self.proc, pid)}"

    def is_stale(self, name: str) -> bool:
        """Tells whether a group is the parent group of a process that has ended."""
        pid, _, start = name.removeprefix(OURS).partition("-")
        if not name.startswith(OURS) or not (pid.isdigit() and start.isdigit()):
            return False
        return start_of(self.proc, int(pid)) != int(start)

    def ancestors(self) -> set[str]:
        """Returns the ids of this process and of those that it descends from."""
        found: list[str] = []
        pid = str(os.getpid())
        while pid != "0":
            found.append(pid)
            stat = _lines(self.proc / pid / "stat")
            pid = stat[-1].rpartition(")")[2].split()[1] if stat else "0"
        return set(found)


def start_of(proc: Path, pid: int) -> int:
    """Returns when a process started, in clock ticks since the system did; 0 for one that has ended."""
    try:
        stat = (proc / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[19])


def _below(mounted_at: str, root: str, path: str) -> Path:
    """Returns the folder of a group; what is mounted may be a part of the tree, as in a container."""
    try:
        return Path(mounted_at) / PurePosixPath(path).relative_to(root)
    except ValueError:  # outside of what is mounted: the part that we see is all that is ours
        return Path(mounted_at)


def _unescaped(text: str) -> str:
    """Undoes the octal escapes of mountinfo."""
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape") if "\\" in text else text


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
