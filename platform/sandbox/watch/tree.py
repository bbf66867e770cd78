"""The processes of a worker: its own and those that it started, by their birth.

A process belongs to the worker that its parent belonged to when it was first seen, so that one that lets its parent die
does not get away.
"""

from cloudserve.sandbox.watch.births import Births
from cloudserve.sandbox.watch.gauge import Gauge, Look


class Tree:
    """One worker's processes."""

    def __init__(self, pid: int) -> None:
        self.gauges = {pid: Gauge(pid)}
        self._first = self.gauges[pid]

    def memory_kib(self) -> int:
        """Returns what they hold together, a page that they share counted for each of them."""
        if len(self.gauges) == 1:
            return self._first.memory_kib()
        return sum(gauge.memory_kib() for gauge in self.gauges.values())

    def at_most_kib(self, kib: int) -> int:
        """Returns what is left of a figure that counts shared pages several times, as those of forked children are."""
        if len(self.gauges) == 1 or kib <= 0:
            return kib
        return min(kib, sum(gauge.share_kib() for gauge in self.gauges.values()))

    def look(self) -> Look:
        """Returns the processor time they have used, and how many threads they are; forgets those that have ended."""
        if len(self.gauges) == 1:
            return self._first.look()
        seconds, threads = 0.0, 0
        for pid, gauge in list(self.gauges.items()):
            look = gauge.look()
            seconds += look.cpu_seconds
            threads += look.threads
            if not look.threads and gauge is not self._first:
                gauge.close()
                del self.gauges[pid]
        return Look(seconds, threads)

    def close(self) -> None:
        """Closes the gauges."""
        for gauge in self.gauges.values():
            gauge.close()


class Forest:
    """The trees of all workers. `close` it after the last."""

    def __init__(self) -> None:
        self._births = Births()
        self._trees: set[Tree] = set()

    def plant(self, pid: int) -> Tree:
        """Returns the tree of a new worker."""
        tree = Tree(pid)
        self._trees.add(tree)
        return tree

    def fell(self, tree: Tree) -> None:
        """Forgets the tree of a worker that has ended."""
        self._trees.discard(tree)
        tree.close()

    def grow(self) -> None:
        """Takes in the processes that were started since the last look."""
        for pid, parent in self._births.since_last_look():
            for tree in self._trees:
                if pid in tree.gauges:
                    break
                if parent in tree.gauges:
                    tree.gauges[pid] = Gauge(pid)
                    break

    def close(self) -> None:
        """Closes what it reads."""
        self._births.close()
