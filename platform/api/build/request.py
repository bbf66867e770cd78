"""What a deploy asks for, as the API hands it over: bytes and values, nothing of HTTP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cloudserve.core.models.function import Cors, Egress, Limits, Runtime

Auth = Literal["key", "public"]


@dataclass(frozen=True, slots=True)
class SingleFile:
    """One source file; its ending tells the language."""

    filename: str
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ArchiveUpload:
    """A .tar.gz, .tgz, .tar or .zip as it was received; its content, not its name, tells the format."""

    filename: str
    content: bytes = field(repr=False)


Upload = SingleFile | ArchiveUpload


@dataclass(frozen=True, slots=True)
class DeployRequest:
    """A new function and its first version.

    `runtime` and `entry` None mean that they are found in the sources; `handler` None that the runtime looks for the
    known names. `secrets` are the names of the secrets it gets, never their values; none named means all.
    """

    name: str
    upload: Upload
    runtime: Runtime | None = None
    entry: str | None = None
    handler: str | None = None
    limits: Limits = field(default_factory=Limits)
    egress: Egress = field(default_factory=Egress)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: Sequence[str] = ()
    auth: Auth = "key"
    cors: Cors | None = None


@dataclass(frozen=True, slots=True)
class DeployChanges:
    """What a redeploy changes; None keeps what is. All None rebuilds the newest sources as they are.

    A single file named as the entry takes its place among the other sources. An empty `handler` goes back to the known
    names.
    """

    upload: Upload | None = None
    runtime: Runtime | None = None
    entry: str | None = None
    handler: str | None = None
    limits: Limits | None = None
    egress: Egress | None = None
    environment: Mapping[str, str] | None = field(default=None, repr=False)
    secrets: Sequence[str] | None = None
