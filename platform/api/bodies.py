"""What the request and answer models of the API share."""

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from cloudserve.core.models.base import Model


class Body(Model):
    """A request's body: unknown names and values of another type are refused, never taken or guessed."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True, hide_input_in_errors=True)


class View(Model):
    """An answer's body."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class Message(View):
    """An answer that only says what happened."""

    message: str


class Deleted(View):
    """How many records were deleted."""

    deleted: int


Email = Annotated[str, Field(min_length=3, max_length=254, examples=["ada@example.com"])]
Password = Annotated[str, Field(max_length=1024, examples=["correct horse battery"])]
"""Longer than a password may be, so that the rule itself, with its remedy, is what a caller reads."""
