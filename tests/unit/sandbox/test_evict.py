"""Which workers end, and in which order."""

from types import SimpleNamespace
from typing import Any

from cloudserve.sandbox import evict


def a_worker(last_used: float, kib: int = 10) -> Any:
    """Returns an idle worker."""
    return SimpleNamespace(calls=SimpleNamespace(last_used=last_used), stopping=False, busy=0, kib=kib)


def a_group(*workers: Any, keep: int = 0) -> Any:
    """Returns a group of them."""
    return SimpleNamespace(workers=list(workers), idle=[worker for worker in workers if not worker.busy], keep=keep)


def test_memory_is_given_back_by_those_that_nobody_used_for_long() -> None:
    """As many as hold what is short, whichever version they are of."""
    old, middle, new = a_worker(1), a_worker(2), a_worker(3)
    groups = [a_group(new, old), a_group(middle)]
    assert list(evict.to_give_back(groups, 15, lambda worker: worker.kib)) == [old, middle]
    assert list(evict.to_give_back(groups, 0, lambda worker: worker.kib)) == []
    assert list(evict.to_give_back(groups, 1000, lambda worker: worker.kib)) == [old, middle, new]


def test_memory_is_not_given_back_by_busy_workers_nor_by_those_that_are_to_be_kept() -> None:
    """A warm minimum is what its owner asked for."""
    busy, kept, spare = a_worker(1), a_worker(3), a_worker(2)
    busy.busy = 1
    groups = [a_group(busy), a_group(spare, kept, keep=1)]
    assert list(evict.to_give_back(groups, 1000, lambda worker: worker.kib)) == [spare]


def test_workers_end_that_were_idle_for_long() -> None:
    """Others stay, and so does the warm minimum."""
    old, older, new = a_worker(20), a_worker(10), a_worker(95)
    groups = [a_group(new, old, older)]
    assert list(evict.idle_too_long(groups, 100, 60)) == [older, old]
    groups[0].keep = 2
    assert list(evict.idle_too_long(groups, 100, 60)) == [older]


def test_the_place_of_another_version_is_taken_from_the_least_recently_used() -> None:
    """Never from the version itself, and from nobody who has none to spare."""
    mine, theirs, others = a_worker(1), a_worker(3), a_worker(2)
    needy, group, kept = a_group(mine), a_group(theirs), a_group(others, keep=1)
    assert evict.least_recently_used([needy, group, kept], needy) is theirs
    assert evict.least_recently_used([needy, kept], needy) is None
