"""The lines of an export: an owner with its keys, a function with all that is its, or a record of a call, as JSON.

A line is what belongs together: each was taken when its parts agreed, and a function's line alone makes it answer.
Names are those of the API. Two values are of the export's own: `passwordHash` is the hash itself, and a secret's
`ciphertext` is the secret sealed with the export's key, in URL-safe base 64.
"""

from typing import Self, TypeVar

from pydantic import ConfigDict, Field, SecretStr, ValidationError, field_serializer

from cloudserve.core.models.base import Model
from cloudserve.core.models.execution import ExecutionLog, Usage
from cloudserve.core.models.function import Build, Function, Version
from cloudserve.core.models.owner import ApiKey, Owner, Secret
from cloudserve.core.transfer.failures import Damaged

L = TypeVar("L", bound="Line")

_UNFINISHED = frozenset({"pending", "deploying"})


class Line(Model):
    """One line of JSON."""

    def content(self) -> bytes:
        """Returns the line, with its end."""
        empty = {name for name in type(self).model_fields if getattr(self, name) is None}
        return self.model_dump_json(by_alias=True, exclude=empty).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes, place: str) -> Self:
        """Reads a line of the member `place`. Raises `Damaged`; what is in the line is not repeated."""
        try:
            return cls.model_validate_json(line)
        except ValidationError as error:
            fields = ", ".join(sorted({".".join(map(str, part["loc"])) for part in error.errors()}))
            raise Damaged(f"a line of {place} can't be read ({fields}). Remedy: make the export again.") from None


class CarriedOwner(Owner):
    """An owner whose password hash is written as it is."""

    @field_serializer("password_hash", when_used="json-unless-none")
    def _plain(self, value: SecretStr) -> str:
        return value.get_secret_value()

    def record(self) -> Owner:
        """Returns the owner as the stores keep it."""
        return Owner.model_validate(self.model_dump())


class CarriedSecret(Secret):
    """A secret whose ciphertext is written in base 64."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    def record(self) -> Secret:
        """Returns the secret as the stores keep it."""
        return Secret.model_validate(self.model_dump())


class OwnerParts(Model):
    """A user or a team, and its keys."""

    owner: CarriedOwner
    keys: list[ApiKey] = Field(default_factory=list)


class FunctionParts(Model):
    """A function, its versions, secrets and builds, as they were at one time."""

    function: Function
    versions: list[Version]
    secrets: list[CarriedSecret]
    builds: list[Build]

    def objects(self) -> dict[str, str]:
        """Returns the key of each object that is needed, and its SHA-256 in hex.

        Beside those of the versions they are the sources of builds that are to be taken up, and of the newest one,
        which its owner may deploy again (`Versions.referenced_objects`).
        """
        needed = {}
        for version in self.versions:
            needed[version.source_path] = version.source_hash
            needed[version.bundle_path] = version.bundle_hash
            if version.layer_path is not None and version.layer_hash is not None:
                needed[version.layer_path] = version.layer_hash
        newest = max((build.id for build in self.builds), default=None)
        for build in self.builds:
            if build.status in _UNFINISHED or build.id == newest:
                needed[build.source_path] = build.source_hash
        return needed


class RowsLine(Line):
    """A line of `rows.jsonl.gz`: either part. An owner's comes before those of its functions."""

    owner: OwnerParts | None = None
    function: FunctionParts | None = None


class HistoryLine(Line):
    """A line of `history.jsonl.gz`: either record."""

    usage: Usage | None = None
    log: ExecutionLog | None = None
