"""A small stock of control groups, so that making one costs a starting worker nothing.

The kernel's bound of a group's memory is a backstop. What the user set is held by the watch, which counts alike for
both runtimes and on hosts without groups: what the worker holds beyond what its runtime held before user code. A group
also counts the files in its folder where that is in memory, and the kernel's own records, so its bound is the user's
figure and room for these: a worker may overshoot between two looks of the watch by that much, and no further.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from cloudserve.core.confine import cgroups
from cloudserve.core.confine.bounds import Bounds

STOCK: Final = 8
USUAL_MEMORY_MB: Final = 128
"""What groups in stock are bound to; any other size is set when it is known which function the worker is for."""

RUNTIME_MB: Final = 32
"""Room for a runtime's own memory and the kernel's records of a worker. Measured: a blank Node.js process holds 6 MB
of its own and its group 8, a Python worker 2 and 3."""

_FIRST_PAUSE: Final = 0.005
_LONGEST_PAUSE: Final = 1.0
_MEBIBYTE: Final = 1024 * 1024

_log = logging.getLogger(__name__)


class Groups:
    """The groups of a sandbox's workers. Where this host lets us have none, `take` returns None.

    `start` first, `close` when the last worker has ended.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._parent: cgroups.Parent | None = None
        self._stock: list[cgroups.Group] = []
        self._removing: set[asyncio.Task[None]] = set()
        self._filling: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def controllers(self) -> frozenset[str]:
        """What the kernel bounds for each worker; empty without groups."""
        return frozenset() if self._parent is None else self._parent.controllers

    async def start(self) -> None:
        """Makes the parent group and the stock, where this host lets us."""
        try:
            self._parent = await asyncio.to_thread(cgroups.open_parent)
        except cgroups.Unavailable as unavailable:
            _log.info("no control groups, the watch stands in: %s", unavailable)
            return
        await self._fill()

    def take(self) -> cgroups.Group | None:
        """Returns a group bound to `USUAL_MEMORY_MB`, or None where there are none."""
        if self._parent is None or self._closing:
            return None
        try:
            group = self._stock.pop() if self._stock else self._new(self._parent)
        except OSError as error:
            _log.warning("no control group for a worker: %s", error)
            return None
        if self._filling is None or self._filling.done():
            self._filling = asyncio.get_running_loop().create_task(self._fill())
        return group

    def bound(self, group: cgroups.Group, memory_mb: int) -> None:
        """Bounds a group that was taken to so much memory."""
        if memory_mb != USUAL_MEMORY_MB:
            self._bound(group, memory_mb)

    def give_back(self, group: cgroups.Group) -> None:
        """Removes the group of a worker that has ended, with whatever it left in it."""
        if not group.remove():
            task = asyncio.get_running_loop().create_task(_until(group.remove))
            self._removing.add(task)
            task.add_done_callback(self._removing.discard)

    async def close(self) -> None:
        """Removes all of them."""
        self._closing = True
        if self._filling is not None:
            await self._filling
        await asyncio.gather(*self._removing)
        for group in self._stock:
            group.remove()
        if self._parent is not None:
            await _until(self._parent.close)

    async def _fill(self) -> None:
        """Makes groups until there are enough, one at a time."""
        parent = self._parent
        while parent is not None and len(self._stock) < STOCK and not self._closing:
            try:
                self._stock.append(await asyncio.to_thread(self._new, parent))
            except OSError as error:
                _log.warning("no control group could be made ready: %s", error)
                return

    def _new(self, parent: cgroups.Parent) -> cgroups.Group:
        group = parent.new_group()
        self._bound(group, USUAL_MEMORY_MB)
        return group

    def _bound(self, group: cgroups.Group, memory_mb: int) -> None:
        most_mb = memory_mb + self._bounds.disk_mb + RUNTIME_MB
        group.bound(memory_bytes=most_mb * _MEBIBYTE, processes=self._bounds.processes)


async def _until(removed: Callable[[], bool]) -> None:
    """Tries until it is done. A process that was killed is in its group until the kernel has taken it apart."""
    pause = _FIRST_PAUSE
    while not removed():
        if pause > _LONGEST_PAUSE:
            _log.warning("a control group can't be removed yet; the next start of the platform does it")
            return
        await asyncio.sleep(pause)
        pause *= 2
