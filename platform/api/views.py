"""Accounts, keys and functions as the API shows them: what an answer holds is listed here, never a whole record."""

from typing import Literal

from pydantic import Field

from cloudserve.api.bodies import View
from cloudserve.core.models.base import Timestamp
from cloudserve.core.models.function import (
    Build,
    Cors,
    DeployStatus,
    Egress,
    Language,
    Limits,
    Runtime,
    Stats,
    Version,
    VersionSpec,
)
from cloudserve.core.models.owner import ApiKey, Owner, Scope


class UserView(View):
    """An account."""

    id: str = Field(alias="_id")
    user_name: str
    full_name: str
    email: str | None
    is_verified: bool
    is_admin: bool
    is_active: bool
    created_at: Timestamp

    @classmethod
    def of(cls, owner: Owner) -> "UserView":
        """Returns what is shown of an owner."""
        return cls(
            id=owner.id,
            user_name=owner.name,
            full_name=owner.full_name,
            email=owner.email,
            is_verified=owner.is_verified,
            is_admin=owner.is_admin,
            is_active=owner.is_active,
            created_at=owner.created_at,
        )


class KeyView(View):
    """An API key, without the key: `hint` is what is shown of it."""

    id: str = Field(alias="_id")
    name: str
    kind: Literal["default", "named", "machine"]
    hint: str
    scopes: list[Scope]
    function_ids: list[str] | None = Field(description="The functions the key is limited to; null is all of them.")
    expires_at: Timestamp | None
    last_used_at: Timestamp | None
    created_at: Timestamp

    @classmethod
    def of(cls, key: ApiKey) -> "KeyView":
        """Returns what is shown of a key."""
        return cls.model_validate(key.model_dump(exclude={"owner_id", "key_hash"}))


class SpecView(View):
    """What a version was deployed with. Of the environment and the secrets, the names alone."""

    runtime: Runtime
    language: Language
    entry: str
    handler: str | None
    limits: Limits
    egress: Egress
    environment: list[str]
    secrets: list[str]

    @classmethod
    def of(cls, spec: VersionSpec) -> "SpecView":
        """Returns what is shown of a specification."""
        values = spec.model_dump(exclude={"environment"})
        return cls(**values, environment=sorted(spec.environment))


class FunctionView(View):
    """A function. `version` and the paths and hashes are those of the live version, null while there is none.

    `runtime` to `secrets` are the live version's, or else those of the newest deploy.
    """

    id: str = Field(alias="_id")
    user: str = Field(description="The owner's id.")
    name: str
    is_active: bool = Field(description="False while the function is paused.")
    status: DeployStatus = Field(description="How the newest deploy stands; serving depends on `version` alone.")
    deploy_error: str | None
    deployed_at: Timestamp | None
    endpoint: str
    version: int | None
    latest_version: int
    source_path: str | None
    bundle_path: str | None
    source_hash: str | None
    bundle_hash: str | None
    dep_hash: str | None
    runtime: Runtime | None
    language: Language | None
    entry: str | None
    handler: str | None
    limits: Limits | None
    egress: Egress | None
    environment: list[str]
    secrets: list[str]
    auth: Literal["key", "public"]
    cors: Cors | None
    stats: Stats
    created_at: Timestamp
    updated_at: Timestamp


class FunctionDetail(FunctionView):
    """A function with its newest sources: `filename` and `code` of the entry, and the names of all files."""

    filename: str | None = None
    code: str | None = None
    files: list[str] = Field(default_factory=list)


class VersionView(SpecView):
    """An immutable version. `version` is its number."""

    id: str = Field(alias="_id")
    function_id: str
    version: int
    is_live: bool
    source_path: str
    source_hash: str
    bundle_path: str
    bundle_hash: str
    dep_hash: str | None
    created_by: str
    created_at: Timestamp

    @classmethod
    def of_version(cls, version: Version, live: int | None) -> "VersionView":
        """Returns what is shown of a version."""
        paths = version.model_dump(
            include={"source_path", "source_hash", "bundle_path", "bundle_hash", "dep_hash", "created_by", "created_at"}
        )
        return cls(
            **SpecView.of(version.spec).model_dump(),
            **paths,
            id=version.id,
            function_id=version.function_id,
            version=version.number,
            is_live=version.number == live,
        )


class BuildView(View):
    """A deploy under way or ended. `version` is the number it makes; `output` is what the tools printed."""

    id: str = Field(alias="_id")
    function_id: str
    version: int
    status: DeployStatus
    error: str | None
    output: str
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None

    @classmethod
    def of(cls, build: Build) -> "BuildView":
        """Returns what is shown of a build."""
        values = build.model_dump(
            include={"id", "function_id", "status", "error", "output", "created_at", "started_at", "finished_at"}
        )
        return cls(**values, version=build.number)
