"""Deploys and rollbacks in any order: the newest wish wins. What every store guarantees.

A state machine asks for deploys and rollbacks, lets them end in any order, and compares the function's row with a model
that is a dozen lines long.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from cloudserve.core.models.function import DeployStatus
from cloudserve.core.store.abc import Store
from tests.contract.backends import StoreBackend
from tests.contract.records import NOW, a_function, a_version, an_owner


def test_the_newest_wish_wins(store_backend: StoreBackend) -> None:
    """Whatever the order in which builds and rollbacks end, also of two services at once."""
    with asyncio.Runner() as runner:
        stores = [store_backend.store(), store_backend.store()]
        for store in stores:
            runner.run(store.open())

        class Machine(Deploys):
            def __init__(self) -> None:
                super().__init__(runner, stores)

        try:
            run_state_machine_as_test(
                Machine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None)
            )
        finally:
            for store in stores:
                runner.run(store.close())


class Deploys(RuleBasedStateMachine):
    """One function and what its owner asks for."""

    wishes: Bundle[tuple[int, int]] = Bundle("wishes")
    rollbacks: Bundle[tuple[int, int]] = Bundle("rollbacks")
    built: Bundle[int] = Bundle("built")

    def __init__(self, runner: asyncio.Runner, stores: list[Store]) -> None:
        super().__init__()
        self._runner = runner
        self._stores = stores
        owner = an_owner()
        self.function = a_function(owner.id)
        self.ids = (owner.id, self.function.id)
        self.latest = self.sequence = self.live_sequence = self.steps = 0
        self.live: int | None = None
        self.deployed_at: datetime | None = None
        self.status: tuple[DeployStatus, str | None] = ("pending", None)
        self._run(self._store.functions.add(self.function))

    @property
    def _store(self) -> Store:
        """Either service in turn."""
        self._stores.reverse()
        return self._stores[0]

    def _run(self, work: Any) -> Any:
        return self._runner.run(work)

    @rule(target=wishes)
    def ask_for_a_deploy(self) -> tuple[int, int]:
        """Takes a number and a sequence."""
        taken: tuple[int, int] = self._run(self._store.functions.next_version(*self.ids))
        self.latest += 1
        self.sequence += 1
        assert taken == (self.latest, self.sequence)
        return taken

    @rule(target=built, wish=consumes(wishes))
    def end_a_build(self, wish: tuple[int, int]) -> int:
        """Adds the version and tries to go live."""
        self._run(self._store.versions.add(a_version(self.function, wish[0])))
        self._go_live(*wish)
        return wish[0]

    @rule(wish=consumes(wishes))
    def go_live_unbuilt(self, wish: tuple[int, int]) -> None:
        """A version that was not stored never goes live."""
        assert not self._run(self._store.functions.go_live(*self.ids, number=wish[0], sequence=wish[1], at=NOW))

    @rule(target=rollbacks, number=built)
    def ask_for_a_rollback(self, number: int) -> tuple[int, int]:
        """Takes a sequence alone."""
        sequence: int = self._run(self._store.functions.next_sequence(*self.ids))
        self.sequence += 1
        assert sequence == self.sequence
        return number, sequence

    @rule(wish=consumes(rollbacks))
    def end_a_rollback(self, wish: tuple[int, int]) -> None:
        """Tries to go live, now or after other wishes."""
        self._go_live(*wish)

    @rule(number=built)
    def repeat_a_wish(self, number: int) -> None:
        """What is live already is not asked for again."""
        self._go_live(number, self.live_sequence)

    @rule(status=st.sampled_from(["deploying", "active", "failed"]), age=st.integers(0, 2))
    def tell_the_status(self, status: DeployStatus, age: int) -> None:
        """Only the newest wish may say how it stands."""
        sequence = self.sequence - age
        told = self._run(self._store.functions.set_status(*self.ids, status, sequence=sequence, error=f"e{sequence}"))
        assert told == (age == 0)
        if told:
            self.status = (status, f"e{sequence}")

    def _go_live(self, number: int, sequence: int) -> None:
        self.steps += 1
        at = NOW + timedelta(seconds=self.steps)
        won = self._run(self._store.functions.go_live(*self.ids, number=number, sequence=sequence, at=at))
        assert won == (sequence > self.live_sequence)
        if won:
            self.live, self.live_sequence, self.deployed_at = number, sequence, at

    @invariant()
    def the_row_is_as_the_model(self) -> None:
        """After every step, seen by either service."""
        row = self._run(self._store.functions.get(*self.ids))
        assert (row.live_version, row.live_sequence, row.deployed_at) == (
            self.live,
            self.live_sequence,
            self.deployed_at,
        )
        assert (row.latest_version, row.sequence) == (self.latest, self.sequence)
        assert (row.status, row.deploy_error) == self.status
