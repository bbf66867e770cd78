"""What all records have in common: camelCase on the wire, `_id` for the id, UTC times, nothing unknown."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from cloudserve.core.ids import new_id


def utc_now() -> datetime:
    """Returns the time now, in UTC, cut to milliseconds as every store keeps it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Timestamp = Annotated[datetime, AfterValidator(_utc)]


class Model(BaseModel):
    """A value with camelCase names on the wire; unknown names are refused."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", validate_assignment=True)


class Record(Model):
    """A row: an id that sorts by time, and when it was made."""

    id: str = Field(default_factory=new_id, alias="_id")
    created_at: Timestamp = Field(default_factory=utc_now)
