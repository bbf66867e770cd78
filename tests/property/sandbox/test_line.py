"""Whatever owners do, one has the place at a time, and everybody who stays in line gets it."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cloudserve.sandbox.line import Line

SLICE = 2.0
KEPT = 3.0
OWNERS = st.sampled_from("abcd")


class Turns(RuleBasedStateMachine):
    """Owners come, are refused and leave; the place changes hands as `claims` has it do."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.line = Line(slice_seconds=SLICE, kept_seconds=KEPT)
        self.order: list[str] = []
        self.until: dict[str, float] = {}
        self.claimed = 0.0

    def _prune(self) -> None:
        self.order = [owner for owner in self.order if self.until.get(owner, self.now + 1) > self.now]

    @rule(seconds=st.floats(0, 5))
    def time_passes(self, seconds: float) -> None:
        """Places that were kept lapse."""
        self.now += seconds

    @rule(owner=OWNERS)
    def a_call_waits(self, owner: str) -> None:
        """It stands where its owner stands already, or last."""
        self._prune()
        if self.line.holder == owner:
            return
        self.line.is_empty(self.now)
        self.line.arrive(owner)
        self.until.pop(owner, None)
        if owner not in self.order:
            self.order.append(owner)

    @rule(owner=OWNERS)
    def its_last_call_is_refused(self, owner: str) -> None:
        """Its place is kept for a while."""
        self._prune()
        self.line.is_empty(self.now)
        self.line.leave(owner, self.now)
        if owner in self.order:
            self.until[owner] = self.now + KEPT

    @rule(owner=OWNERS)
    def its_last_call_is_given_up(self, owner: str) -> None:
        """Nobody waits for it."""
        self.line.leave(owner)
        self.order = [one for one in self.order if one != owner]

    @precondition(lambda self: self.line.holder is not None)
    @rule()
    def the_holder_gives_way(self) -> None:
        """Once its slice is over."""
        if self.line.slice_left(self.now) == 0:
            assert self.now >= self.claimed + SLICE
            self.line.give_way()

    @precondition(lambda self: self.line.holder is None)
    @rule()
    def the_place_is_given(self) -> None:
        """To the first in line, or kept for it; never past it to another."""
        self._prune()
        owner, kept = self.line.next(self.now)
        if not self.order:
            assert (owner, kept) == (None, 0.0)
            return
        first = self.order[0]
        if first in self.until:
            assert owner is None
            assert 0 < kept <= KEPT
            return
        assert owner == first
        self.line.claim(owner, self.now)
        self.claimed = self.now
        self.order.remove(owner)
        self.until.pop(owner, None)

    @invariant()
    def the_line_is_empty_when_nobody_is_in_it(self) -> None:
        """And only then."""
        self._prune()
        assert self.line.is_empty(self.now) == (not self.order)

    @invariant()
    def a_holder_keeps_its_slice(self) -> None:
        """Not longer than a slice from its claim on, and never less."""
        if self.line.holder is not None:
            assert abs(self.line.slice_left(self.now) - max(0.0, self.claimed + SLICE - self.now)) < 1e-9


Turns.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestTurns = Turns.TestCase
