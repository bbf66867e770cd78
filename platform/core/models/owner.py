"""Who owns things: users and teams, their keys, sessions and codes."""

from typing import Literal

from pydantic import Field, SecretStr

from cloudserve.core.models.base import Record, Timestamp, utc_now

Scope = Literal["invoke", "read", "deploy", "admin"]
ALL_SCOPES: tuple[Scope, ...] = ("invoke", "read", "deploy", "admin")


class Owner(Record):
    """A user or a team. Both live in one name space: `name` is unique among them, in lower case.

    `password_hash` is None for teams and for users who only sign in with Google. `is_admin` makes a user an
    administrator of the platform.
    """

    kind: Literal["user", "team"] = "user"
    name: str
    full_name: str = ""
    email: str | None = None
    password_hash: SecretStr | None = None
    google_subject: str | None = None
    is_verified: bool = False
    is_admin: bool = False
    is_active: bool = True
    password_changed_at: Timestamp | None = None
    updated_at: Timestamp = Field(default_factory=utc_now)


class ApiKey(Record):
    """A key, known by the SHA-256 of its text alone; `hint` is what may be shown of it.

    `function_ids` None means every function of the owner. `kind` tells the key of the `/api/apikey` routes
    (`default`, one an owner), further keys (`named`) and the platform's own (`machine`).
    """

    owner_id: str
    name: str = "default"
    kind: Literal["default", "named", "machine"] = "named"
    key_hash: str
    hint: str
    scopes: list[Scope]
    function_ids: list[str] | None = None
    expires_at: Timestamp | None = None
    last_used_at: Timestamp | None = None


class Session(Record):
    """A signed-in browser or CLI: `token_hash` is the SHA-256 of the opaque token in its cookie."""

    owner_id: str
    token_hash: str
    expires_at: Timestamp
    user_agent: str = ""


class Code(Record):
    """A short code sent by mail, kept as a hash, good for one purpose and a few attempts."""

    owner_id: str
    purpose: Literal["verify", "reset"]
    code_hash: str
    expires_at: Timestamp
    attempts: int = 0


class Secret(Record):
    """A function's secret, encrypted; its name is part of what the encryption authenticates."""

    owner_id: str
    function_id: str
    name: str
    ciphertext: bytes
    updated_at: Timestamp = Field(default_factory=utc_now)
