"""How a record becomes a row and a row a record, and the few statements that all tables share."""

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, Literal, TypeVar

import orjson
from pydantic import SecretStr

from cloudserve.core.models.base import Record
from cloudserve.core.store.abc import Page

R = TypeVar("R", bound=Record)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def milliseconds(time: datetime) -> int:
    """Returns a time as it is kept: whole milliseconds since 1970."""
    return (time - _EPOCH) // _MILLISECOND


def moment(kept: int | None) -> datetime | None:
    """Returns the time that is kept as `kept`."""
    return None if kept is None else _EPOCH + kept * _MILLISECOND


class Table(Generic[R]):
    """One table: `columns` are attributes of the model, `times` too, `apart` are those that a subclass sees to.

    What is none of these is in `document`. Secret texts and bytes must be columns: JSON would mask or mangle them.
    """

    def __init__(
        self, name: str, model: type[R], *columns: str, times: Sequence[str] = (), apart: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.model = model
        self.columns = ("id", *columns, *times)
        self._times = times
        self._elsewhere = {*self.columns, *apart}
        self.select = f"SELECT * FROM {name}"  # noqa: S608 - the name of a table of ours

    def values(self, record: R) -> dict[str, Any]:
        """Returns a record as columns."""
        values = {column: _kept(getattr(record, column)) for column in self.columns}
        values["document"] = record.model_dump_json(exclude=self._elsewhere)
        return values

    def record(self, row: sqlite3.Row) -> R:
        """Returns the record of a row."""
        data: dict[str, Any] = orjson.loads(row["document"])
        for column in self.columns:
            data[column] = row[column]
        for column in self._times:
            data[column] = moment(data[column])
        return self.model.model_validate(data)

    def insert(self, db: sqlite3.Connection, record: R) -> None:
        """Adds a row."""
        values = self.values(record)
        names, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
        db.execute(f"INSERT INTO {self.name} ({names}) VALUES ({marks})", values)  # noqa: S608 - names of ours

    def replace(self, db: sqlite3.Connection, record: R) -> bool:
        """Replaces the row of the same id; tells whether there was one."""
        values = self.values(record)
        changes = ", ".join(f"{name} = :{name}" for name in values)
        return db.execute(f"UPDATE {self.name} SET {changes} WHERE id = :id", values).rowcount > 0  # noqa: S608

    def one(self, db: sqlite3.Connection, where: str, values: Sequence[Any]) -> R | None:
        """Returns the record that a condition finds."""
        row = db.execute(f"{self.select} WHERE {where}", values).fetchone()
        return None if row is None else self.record(row)

    def all(self, db: sqlite3.Connection, where: str, values: Sequence[Any]) -> list[R]:
        """Returns the records that a condition finds."""
        return [self.record(row) for row in db.execute(f"{self.select} WHERE {where}", values)]

    def page(
        self, db: sqlite3.Connection, where: str, values: Sequence[Any], *, limit: int, cursor: str | None
    ) -> Page[R]:
        """Returns the newest records that a condition finds, from `cursor` on."""
        if cursor is not None:
            where, values = f"{where} AND id < ?", (*values, cursor)
        rows = self.all(db, f"{where} ORDER BY id DESC LIMIT ?", (*values, limit + 1))
        return Page(rows[:limit], rows[limit - 1].id if len(rows) > limit else None)


def note_change(db: sqlite3.Connection, kind: Literal["owner", "function", "key"], id_: str, owner_id: str) -> None:
    """Tells the change feed, in the transaction of the change itself.

    Cursors follow the order of commits, because writers wait for each other: who has seen one has seen all before it.
    An older change of the same thing makes way, so that the feed is no longer than the number of things.
    """
    db.execute("INSERT OR REPLACE INTO changes (kind, id, owner_id) VALUES (?, ?, ?)", (kind, id_, owner_id))


def _kept(value: Any) -> Any:
    if isinstance(value, datetime):
        return milliseconds(value)
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return value
