"""A stand-in for the kernel's side of control groups, version 2: files that appear with a folder and go with it."""

import os
from pathlib import Path

FILES = {
    "cgroup.controllers": "cpuset cpu io memory pids\n",
    "cgroup.procs": "",
    "cgroup.subtree_control": "",
    "cgroup.kill": "",
    "cpu.weight": "",
    "memory.max": "",
    "memory.swap.max": "",
    "memory.oom.group": "",
    "memory.peak": "",
    "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n",
    "pids.max": "",
}


class Kernel:
    """A tree of groups below `root`, in which this process is in the group `group`."""

    def __init__(self, root: Path, group: str, *processes: int) -> None:
        self.proc = root / "proc"
        self.tree = root / "cgroup"
        self.own = self.tree / group
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "self" / "cgroup").write_text(f"0::/{group}\n")
        (self.proc / "self" / "mountinfo").write_text(
            f"23 1 8:1 / / rw - ext4 /dev/vda rw\n31 23 0:28 / {self.tree} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
        )
        self.start(os.getpid(), parent=1, at=4711)
        self.own.mkdir(parents=True)
        for folder in (self.tree, self.own):
            self.populate(folder)
        (self.own / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in (os.getpid(), *processes)))

    def start(self, pid: int, *, parent: int, at: int) -> None:
        """Lets a process be, that was started at a moment."""
        (self.proc / str(pid)).mkdir()
        fields = ["S", str(parent), *["0"] * 17, str(at), "0"]
        (self.proc / str(pid) / "stat").write_text(f"{pid} (a name) with) {' '.join(fields)}\n")

    def populate(self, folder: Path) -> None:
        """Puts the files of a group into a folder."""
        for name, content in FILES.items():
            (folder / name).write_text(content)

    def depopulate(self, folder: Path) -> None:
        """Takes them away, as far as it is a group."""
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
