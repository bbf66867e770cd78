"""Which idle workers end: those nobody used for long, and the least recently used where others need their place, or the
host its memory.

Only workers without a call are ever chosen, and a version keeps its warm minimum (`Group.keep`).
"""

from collections.abc import Callable, Iterable, Iterator

from cloudserve.sandbox.group import Group
from cloudserve.sandbox.worker import Worker


def idle_too_long(groups: Iterable[Group], now: float, idle_seconds: float) -> Iterator[Worker]:
    """Yields the workers that were idle for `idle_seconds`, the longest idle first within a version."""
    for group in groups:
        for worker in _spare(group):
            if now - worker.calls.last_used < idle_seconds:
                break
            yield worker


def least_recently_used(groups: Iterable[Group], needy: Group) -> Worker | None:
    """Returns the idle worker of another version that was used the longest time ago."""
    candidates = [spare[0] for group in groups if group is not needy and (spare := _spare(group))]
    return min(candidates, key=lambda worker: worker.calls.last_used, default=None)


def to_give_back(groups: Iterable[Group], kib: int, held_kib: Callable[[Worker], int]) -> Iterator[Worker]:
    """Yields idle workers, the least recently used first, until they hold so much memory together."""
    spare = [worker for group in groups for worker in _spare(group)]
    for worker in sorted(spare, key=lambda worker: worker.calls.last_used):
        if kib <= 0:
            return
        kib -= held_kib(worker)
        yield worker


def _spare(group: Group) -> list[Worker]:
    """Returns the idle workers above the warm minimum, the longest idle first."""
    idle = sorted(group.idle, key=lambda worker: worker.calls.last_used)
    alive = sum(1 for worker in group.workers if not worker.stopping)
    return idle[: max(0, min(len(idle), alive - group.keep))]
