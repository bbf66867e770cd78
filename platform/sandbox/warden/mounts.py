"""Mounts folders of the host into a worker that is walled off already, where it can only read them.

The copies of the folders are made before the worker's mount namespace is entered, so that no path of the host is looked
up in there. A detached copy can't be climbed out of, unlike a folder's descriptor (open_tree(2), mount_setattr(2)).
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Final

from cloudserve.core.confine.syscalls import (
    CLONE_NEWNS,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    move_mount,
    open_tree,
    set_mount,
    setns,
)

PLACES: Final = frozenset({"deps", "fn", "node_modules"})
"""The folders below /box that can be mounted on."""


class Mounter:
    """Mounts into workers. Only for a process with one thread, whose own mount namespace it leaves for a moment."""

    def __init__(self) -> None:
        self._home = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)

    def mount(self, worker: int, trees: Sequence[tuple[str, str]]) -> None:
        """Mounts each folder on its place below /box in the worker that a pidfd names. Raises OSError, ValueError."""
        for _, place in trees:
            if place not in PLACES:
                raise ValueError(f"{place!r} is no place in a worker")
        with _copies([source for source, _ in trees]) as copies:
            setns(worker, CLONE_NEWNS)
            try:
                for copy, (_, place) in zip(copies, trees, strict=True):
                    move_mount(copy, f"/box/{place}")
            finally:
                setns(self._home, CLONE_NEWNS)


@contextlib.contextmanager
def _copies(sources: Sequence[str]) -> Iterator[list[int]]:
    copies: list[int] = []
    try:
        for source in sources:
            copies.append(open_tree(source, recursive=True))
            set_mount(copies[-1], MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, recursive=True)
        yield copies
    finally:
        for copy in copies:
            os.close(copy)
