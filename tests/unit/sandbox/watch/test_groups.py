"""The stock of control groups."""

from typing import Any

import pytest

from cloudserve.core.confine import cgroups
from cloudserve.core.confine.bounds import Bounds
from cloudserve.sandbox.watch import groups as stock
from cloudserve.sandbox.watch.groups import STOCK, Groups

MEBIBYTE = 1024 * 1024
BOUNDS = Bounds(processes=9, disk_mb=4)


class Group:
    """Remembers what is done with it; goes at the second try."""

    def __init__(self, parent: "Parent") -> None:
        self.parent = parent
        self.bounds: dict[str, int] = {}
        self.tries = 0
        parent.living.add(self)

    def bound(self, **bounds: int) -> None:
        self.bounds = bounds

    def remove(self) -> bool:
        self.tries += 1
        if self.tries == 2:
            self.parent.living.discard(self)
        return self.tries >= 2


class Parent:
    """Makes groups until `full`."""

    controllers = frozenset({"memory", "pids"})

    def __init__(self) -> None:
        self.living: set[Group] = set()
        self.full = False
        self.closed = False

    def new_group(self) -> Group:
        if self.full:
            raise OSError(28, "No space left on device")
        return Group(self)

    def close(self) -> bool:
        self.closed = True
        return True


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Parent:
    """The parent that the sandbox gets."""
    parent = Parent()
    monkeypatch.setattr(cgroups, "open_parent", lambda: parent)
    return parent


async def test_groups_are_made_before_they_are_needed(parent: Parent) -> None:
    """And again behind the worker that took one; each is bound by the platform's settings and the user's figure."""
    groups = Groups(BOUNDS)
    await groups.start()
    assert len(parent.living) == STOCK
    assert groups.controllers == {"memory", "pids"}
    taken: Any = groups.take()
    room = (BOUNDS.disk_mb + stock.RUNTIME_MB) * MEBIBYTE
    assert taken.bounds == {"memory_bytes": 128 * MEBIBYTE + room, "processes": 9}
    groups.bound(taken, 512)
    assert taken.bounds == {"memory_bytes": 512 * MEBIBYTE + room, "processes": 9}
    assert groups._filling is not None
    await groups._filling
    assert len(parent.living) == STOCK + 1
    await groups.close()
    assert parent.closed
    assert groups.take() is None


async def test_a_group_goes_when_the_kernel_lets_it(parent: Parent) -> None:
    """A process that was killed is in it for a moment longer."""
    groups = Groups(BOUNDS)
    await groups.start()
    taken: Any = groups.take()
    groups.give_back(taken)
    assert taken in parent.living
    await groups.close()
    assert taken not in parent.living


async def test_a_kernel_without_room_for_groups_stops_no_worker(parent: Parent) -> None:
    """Then the watch alone bounds it."""
    parent.full = True
    groups = Groups(BOUNDS)
    await groups.start()
    assert groups.take() is None
    parent.full = False
    taken = [groups.take() for _ in range(3)]
    assert None not in taken
    await groups.close()


async def test_a_host_without_groups_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing fails for it."""

    def refuse() -> None:
        raise cgroups.Unavailable("Not here.", "Start the platform as root.")

    monkeypatch.setattr(cgroups, "open_parent", refuse)
    groups = Groups(BOUNDS)
    await groups.start()
    assert groups.take() is None
    assert groups.controllers == frozenset()
    await groups.close()
