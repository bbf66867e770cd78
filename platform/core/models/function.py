"""Functions, their immutable versions, and the builds that make versions."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from cloudserve.core.models.base import Model, Record, Timestamp, utc_now

Runtime = Literal["node", "python"]
Language = Literal["javascript", "typescript", "python"]
DeployStatus = Literal["pending", "deploying", "active", "failed"]


class Limits(Model):
    """What one function may use. Each has a default that suits a small web function."""

    model_config = ConfigDict(strict=True)

    timeout_seconds: float = Field(default=10, ge=0.1, le=900, description="Wall time of one call, in seconds.")
    memory_mb: int = Field(default=128, ge=64, le=4096, description="Memory of one worker, in MiB.")
    concurrency: int = Field(default=1, ge=1, le=1000, description="Calls in flight in one worker.")
    min_warm: int = Field(default=0, ge=0, le=64, description="Workers kept ready without traffic.")
    max_workers: int = Field(default=32, ge=1, le=1000, description="Workers at most, on one host.")


class Egress(Model):
    """Where a function may connect to. `allow` holds `host` or `host:port`, for mode `list` alone."""

    model_config = ConfigDict(strict=True)

    mode: Literal["none", "public", "list"] = "public"
    allow: list[Annotated[str, Field(max_length=300)]] = Field(default_factory=list, max_length=100)


# What becomes part of a header: a token (RFC 9110, section 5.6.2; `*` is one), and what is visible of ASCII.
_Token = Annotated[str, Field(pattern=r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$", max_length=100)]
_Origin = Annotated[str, Field(pattern=r"^[!-~]+$", max_length=300)]


class Cors(Model):
    """Cross-origin rules of a public function; none means that no CORS header is added."""

    model_config = ConfigDict(strict=True)

    origins: list[_Origin] = Field(default_factory=lambda: ["*"], max_length=50)
    methods: list[_Token] = Field(
        default_factory=lambda: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"], max_length=10
    )
    headers: list[_Token] = Field(default_factory=lambda: ["*"], max_length=50)
    credentials: bool = False
    max_age_seconds: int = Field(default=600, ge=0, le=86400)


class Stats(Model):
    """Running totals of a function's calls; latency in milliseconds, memory in MB."""

    executed: int = 0
    errors: int = 0
    avg_latency: float = 0
    avg_memory: float = 0
    last_executed: Timestamp | None = None


class Function(Record):
    """A function. What is served depends on `live_version` and `is_active` alone; `status` tells of the newest deploy.

    `sequence` counts what its owner asked for (deploys and rollbacks); `live_sequence` is the request that went live
    last, so that a slower, older build can't replace a newer choice.
    """

    owner_id: str
    name: str
    is_active: bool = True
    status: DeployStatus = "pending"
    deploy_error: str | None = None
    deployed_at: Timestamp | None = None
    live_version: int | None = None
    latest_version: int = 0
    sequence: int = 0
    live_sequence: int = 0
    auth: Literal["key", "public"] = "key"
    cors: Cors | None = None
    stats: Stats = Field(default_factory=Stats)
    updated_at: Timestamp = Field(default_factory=utc_now)


class VersionSpec(Model):
    """What a deploy asks for beside its sources; an immutable part of the version that it makes.

    `entry` is the file that is loaded, relative to the sources. `environment` is plain. `secrets`
    names those of the function's secrets that this version gets; none named means all of them.
    """

    runtime: Runtime
    language: Language
    entry: str
    handler: str | None = None
    limits: Limits = Field(default_factory=Limits)
    egress: Egress = Field(default_factory=Egress)
    environment: dict[str, str] = Field(default_factory=dict)
    secrets: list[str] = Field(default_factory=list)


class Version(Record):
    """A built version; it never changes. `number` was taken when the deploy was asked for.

    `source_path`, `bundle_path` and `layer_path` are keys of the object store; their hashes are the SHA-256 of those
    objects in hex. `bundle_entry` is the file of the bundle that is loaded. `lock` is the dependency lock with
    integrity hashes, None without dependencies.
    """

    function_id: str
    owner_id: str
    number: int
    spec: VersionSpec
    source_path: str
    source_hash: str
    bundle_path: str
    bundle_hash: str
    bundle_entry: str
    layer_path: str | None = None
    layer_hash: str | None = None
    dep_hash: str | None = None
    lock: str | None = None
    created_by: str


class Build(Record):
    """A deploy that was asked for: a durable job until it is `active` or `failed`.

    `source_path` names the archive as it was received. `claimed_until` is the lease of whoever works on it: when it
    has run out, another may take it up. `output` is what the tools printed.
    """

    function_id: str
    owner_id: str
    number: int
    sequence: int
    spec: VersionSpec
    source_path: str
    source_hash: str
    created_by: str
    status: DeployStatus = "pending"
    error: str | None = None
    output: str = ""
    attempts: int = 0
    claimed_by: str | None = None
    claimed_until: Timestamp | None = None
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
