"""What both versions of control groups have in common: a parent, its groups, and how they go away again."""

import contextlib
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Final

NEEDED: Final = ("memory", "pids")
WELCOME: Final = ("cpu",)
"""The controllers that groups are of no use without, and those that are taken where they are there."""

NICENESS_OF_WORKERS: Final = 1 / 3
"""What one busy processor of workers weighs against an ordinary process: what a niceness of 5 does (sched(7)).

In a group a process's own niceness counts among its neighbours there alone, so the group has to weigh less.
"""


class Unavailable(Exception):  # noqa: N818 - reads as what it is
    """No groups can be made: `why`, and the `remedy` that would change it."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(f"{why} {remedy}")
        self.why = why
        self.remedy = remedy


class Group(ABC):
    """The group of one worker. All methods are quick: they read and write a file or two of the kernel's.

    `entries` are descriptors of its `cgroup.procs`: a process that writes "0" to each has entered, whatever it may see
    of the file system. They are closed by `seal`.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self.folders = tuple(dict.fromkeys(folders))
        self.entries = tuple(os.open(folder / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC) for folder in self.folders)

    def seal(self) -> None:
        """Closes the entries; nobody enters any more through descriptors of this process."""
        entries, self.entries = self.entries, ()
        for entry in entries:
            os.close(entry)

    @abstractmethod
    def bound(self, *, memory_bytes: int, processes: int) -> None:
        """Sets what its processes may hold together, swap included, and how many processes and threads they may be.

        May be called again with other figures. Among themselves groups share the processor equally.
        """

    @abstractmethod
    def oom_kills(self) -> int:
        """Returns how many of its processes the kernel has ended for want of memory."""

    @abstractmethod
    def peak_bytes(self) -> int:
        """Returns the most that its processes ever held together, with files in memory and the kernel's own share."""

    def give_way(self, *, always: bool) -> bool:
        """Has its processes run only when nobody else wants to, or equally again; False where that can't be had.

        Whoever is woken then takes their place at once (`cpu.idle`, since Linux 5.15, in both versions).
        """
        for folder in self.folders:
            with contextlib.suppress(OSError):
                write(folder / "cpu.idle", str(int(always)))
                return True
        return False

    def remove(self) -> bool:
        """Ends what still runs in it and removes it; False when that takes longer, and it must be called again."""
        self.seal()
        return all([remove_folder(folder) for folder in self.folders])  # noqa: C419 - each is tried, whatever came before


class Parent(ABC):
    """The parent group of this process. `controllers` names what its groups bound."""

    def __init__(self, folders: Iterable[Path], controllers: frozenset[str]) -> None:
        self.folders = tuple(dict.fromkeys(folders))
        self.controllers = controllers
        self._last = 0

    def new_group(self) -> Group:
        """Makes a group. Raises OSError, for instance when the kernel has no room for more."""
        self._last += 1
        folders = [folder / str(self._last) for folder in self.folders]
        try:
            for folder in folders:
                folder.mkdir()
            return self._group(folders)
        except BaseException:
            for folder in folders:
                with contextlib.suppress(OSError):
                    folder.rmdir()
            raise

    @abstractmethod
    def _group(self, folders: list[Path]) -> Group: ...

    def close(self) -> bool:
        """Removes the parent with all that is in it; False when that takes longer, and it must be called again."""
        return all([remove_tree(folder) for folder in self.folders])  # noqa: C419 - as above


def remove_tree(folder: Path) -> bool:
    """Removes a group and those below it; False when that takes more time."""
    try:
        below = [path for path in folder.iterdir() if path.is_dir()]
    except FileNotFoundError:
        return True
    return all([remove_tree(path) for path in below]) and remove_folder(folder)  # noqa: C419 - each is tried


def remove_folder(folder: Path) -> bool:
    """Removes a group without groups below it; False while a process of it has not yet ended."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:  # EBUSY: there are processes in it
        _end_all(folder)
        return False
    return True


def _end_all(folder: Path) -> None:
    """Sends SIGKILL to all in a group, and lets none of them fork meanwhile."""
    with contextlib.suppress(OSError):
        write(folder / "cgroup.kill", "1")  # version 2, since Linux 5.14
        return
    with contextlib.suppress(OSError):
        write(folder / "pids.max", "0")
    with contextlib.suppress(OSError):
        for pid in (folder / "cgroup.procs").read_text("ascii").split():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(pid), signal.SIGKILL)


def write(file: Path, text: str) -> None:
    """Writes to a file of the kernel's, which is there already, in one system call. Raises OSError."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode("ascii"))
    finally:
        os.close(descriptor)


def read_field(file: Path, name: str) -> int:
    """Returns a number from a file of names and values; 0 where it is missing or the group has gone."""
    with contextlib.suppress(OSError):
        for line in file.read_text("ascii").splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return 0


def read_number(file: Path) -> int:
    """Returns the number that a file holds; 0 where it is missing or the group has gone."""
    with contextlib.suppress(OSError, ValueError):
        return int(file.read_text("ascii"))
    return 0
