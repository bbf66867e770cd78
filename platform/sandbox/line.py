"""Who has the one place, and who is next: the order in which owners take turns where only one can be served at a time.

- First come, first served: an owner that waits takes its turn after those that came before it, and no other.
- Whoever has the place keeps it for a slice of time while others wait, and as long as it likes while nobody does: to
  change hands costs some tenths of a second, in which nobody is served.
- An owner whose calls were refused keeps its place in the line for a moment, so that a caller who comes back when it
  was told to is served, however long those before it took.

Nothing here waits or reads a clock: every method is told the time, in seconds.
"""

from math import inf


class Line:
    """The line before one place."""

    def __init__(self, *, slice_seconds: float, kept_seconds: float) -> None:
        self.holder: str | None = None
        self._slice_seconds = slice_seconds
        self._kept_seconds = kept_seconds
        self._since = -inf
        self._kept_until: dict[str, float] = {}

    def arrive(self, owner: str) -> None:
        """A call of an owner waits. It takes the last place in the line unless its owner has one already."""
        self._kept_until[owner] = inf

    def leave(self, owner: str, refused_at: float | None = None) -> None:
        """No call of an owner waits any more: they were given up, or refused then and may come back."""
        if refused_at is None:
            self._kept_until.pop(owner, None)
        elif owner in self._kept_until:
            self._kept_until[owner] = refused_at + self._kept_seconds

    def is_empty(self, now: float) -> bool:
        """Tells whether nobody waits, nor may come back."""
        for owner in [owner for owner, until in self._kept_until.items() if until <= now]:
            del self._kept_until[owner]
        return not self._kept_until

    def slice_left(self, now: float) -> float:
        """Returns how long the holder may stay though others wait; 0 where there is none."""
        return 0.0 if self.holder is None else max(0.0, self._since + self._slice_seconds - now)

    def claim(self, owner: str, now: float) -> None:
        """Gives the free place to an owner."""
        self._kept_until.pop(owner, None)
        self.holder = owner
        self._since = now

    def give_way(self) -> None:
        """Frees the place."""
        self.holder = None

    def next(self, now: float) -> tuple[str | None, float]:
        """Returns the owner whose turn it is, or nobody and how long its place is kept for one who may come back."""
        if self.is_empty(now):
            return None, 0.0
        owner, until = next(iter(self._kept_until.items()))
        return (owner, 0.0) if until == inf else (None, until - now)
