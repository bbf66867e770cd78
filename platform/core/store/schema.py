"""How a store's schema changes while services of two releases use it: expand first, contract a release later.

An expansion adds what the new release needs and leaves all that the old one uses as it was, so both may run side by
side. A contraction takes away what no code has used since an expansion; code that does not know that expansion is
refused from then on (https://martinfowler.com/bliki/ParallelChange.html).

A database keeps two numbers: `applied`, how many migrations it has had, and `needs`, how many code must know to use it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from cloudserve.core.store.abc import StoreError

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Migration(Generic[C]):
    """One step, in the language of its backend. One that has been released never changes.

    `needs` is 0 for an expansion. A contraction names the migration, counted from 1, since which nothing has used what
    goes.
    """

    change: C
    needs: int = 0


@dataclass(frozen=True, slots=True)
class Level:
    """What a database says of itself."""

    applied: int
    needs: int

    def after(self, migrations: Sequence[Migration[C]]) -> "Level":
        """Returns what it says when it has had all `migrations`.

        Raises `StoreError` when it needs code that knows more of them.
        """
        if self.needs > len(migrations):
            raise StoreError(
                f"the database has schema {self.needs}, and this CloudServe knows none after {len(migrations)}: "
                "run the CloudServe that wrote it, or a later one"
            )
        rest = migrations[self.applied :]
        return Level(max(self.applied, len(migrations)), max([self.needs, *(one.needs for one in rest)]))
