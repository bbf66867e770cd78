"""The store's contract: what every backend guarantees to the services.

- Records go in and come out as the models of `core.models`; what comes out is the caller's own copy.
- A method is atomic: when it has returned, its effect is durable (it survives kill -9 of this process and of the
  store); when it raises, nothing of it stays. No method needs a transaction that spans several of them.
- What belongs to an owner is looked up *with* its owner: another's id behaves exactly as one that does not exist.
- Unique things (owner names and mail addresses, key hashes, function names within their owner, version numbers within
  their function) are unique under concurrency; the loser gets `Taken`.
- A version, build or secret of a function that does not exist (any more) is refused with `Gone`, so that what is
  still under way when a function is deleted leaves nothing behind.
- Any method may raise `Unavailable` when the backend can't be reached; the caller may try again.
- Times are kept to the millisecond.
- Methods are coroutine-safe: call them at once from as many tasks as you like, of one event loop. Several processes
  may have the same store open.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Literal, TypeVar

from cloudserve.core.models.execution import ExecutionLog, ExecutionStatus, Usage
from cloudserve.core.models.function import Build, Cors, DeployStatus, Function, Version
from cloudserve.core.models.owner import ApiKey, Code, Owner, Secret, Session

T = TypeVar("T")


class StoreError(Exception):
    """The store refused."""


class Taken(StoreError):  # noqa: N818 - reads as what happened
    """A unique value is in use already; `field` names it by its model's attribute."""

    def __init__(self, field: str) -> None:
        super().__init__(f"{field} is taken")
        self.field = field


class Gone(StoreError):  # noqa: N818 - reads as what happened
    """What the record belongs to does not exist, or not any more."""


class Unavailable(StoreError):  # noqa: N818 - reads as what happened
    """The backend can't be reached just now."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A stretch of rows, newest first; `next_cursor` continues it, None when it is the last."""

    rows: Sequence[T]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """Something gateways cache has changed: drop what is known of it. `cursor` grows with time."""

    cursor: int
    kind: Literal["owner", "function", "key"]
    id: str
    owner_id: str


class Owners(ABC):
    """Users and teams."""

    @abstractmethod
    async def add(self, owner: Owner) -> None:
        """Adds an owner. Raises `Taken` for its name, mail address (whatever the case) or Google subject."""

    @abstractmethod
    async def get(self, owner_id: str) -> Owner | None: ...

    @abstractmethod
    async def by_name(self, name: str) -> Owner | None: ...

    @abstractmethod
    async def by_email(self, email: str) -> Owner | None:
        """Finds a user by mail address, whatever its case."""

    @abstractmethod
    async def by_google_subject(self, subject: str) -> Owner | None: ...

    @abstractmethod
    async def update(self, owner: Owner) -> bool:
        """Replaces an owner's row; False when it does not exist. Raises `Taken`."""

    @abstractmethod
    async def delete(self, owner_id: str) -> bool:
        """Deletes an owner's row, keys, sessions and codes. Its functions must be gone."""

    @abstractmethod
    async def list(self, *, limit: int, cursor: str | None = None) -> Page[Owner]: ...


class Keys(ABC):
    """API keys, known by their hash."""

    @abstractmethod
    async def add(self, key: ApiKey) -> None:
        """Adds a key. Raises `Taken("key_hash")`."""

    @abstractmethod
    async def replace_default(self, key: ApiKey) -> None:
        """Puts `key` in place of the owner's key of kind `default`, so that there is exactly one."""

    @abstractmethod
    async def by_hash(self, key_hash: str) -> ApiKey | None: ...

    @abstractmethod
    async def default_of(self, owner_id: str) -> ApiKey | None: ...

    @abstractmethod
    async def list(self, owner_id: str) -> Sequence[ApiKey]: ...

    @abstractmethod
    async def delete(self, owner_id: str, key_id: str) -> bool: ...

    @abstractmethod
    async def touch(self, uses: Mapping[str, datetime]) -> None:
        """Records last uses by key id; an older time than the stored one changes nothing."""


class Sessions(ABC):
    """Signed-in browsers and CLIs."""

    @abstractmethod
    async def add(self, session: Session) -> None: ...

    @abstractmethod
    async def by_hash(self, token_hash: str) -> Session | None: ...

    @abstractmethod
    async def list(self, owner_id: str) -> Sequence[Session]:
        """Returns all of an owner's sessions, newest first, those that have expired but were not swept too."""

    @abstractmethod
    async def delete(self, token_hash: str) -> bool: ...

    @abstractmethod
    async def delete_of(self, owner_id: str, *, keep: str | None = None) -> int:
        """Ends an owner's sessions but the one with the token hash `keep`; returns how many."""

    @abstractmethod
    async def sweep(self, now: datetime) -> int:
        """Deletes what expired before `now`; returns how many."""


class Codes(ABC):
    """Codes sent by mail; one an owner and purpose."""

    @abstractmethod
    async def put(self, code: Code) -> None:
        """Keeps a code in place of the earlier one of the same owner and purpose."""

    @abstractmethod
    async def attempt(self, owner_id: str, purpose: Literal["verify", "reset"], *, limit: int) -> Code | None:
        """Counts an attempt and returns the code; None when there is none or `limit` attempts were made before."""

    @abstractmethod
    async def delete(self, owner_id: str, purpose: Literal["verify", "reset"]) -> None: ...


class Functions(ABC):
    """Functions and which of their versions is live."""

    @abstractmethod
    async def add(self, function: Function) -> None:
        """Adds a function. Raises `Taken("name")`."""

    @abstractmethod
    async def get(self, owner_id: str, function_id: str) -> Function | None: ...

    @abstractmethod
    async def by_name(self, owner_id: str, name: str) -> Function | None: ...

    @abstractmethod
    async def list(self, owner_id: str) -> Sequence[Function]:
        """Returns all of an owner's functions, newest first."""

    @abstractmethod
    async def set_active(self, owner_id: str, function_id: str, active: bool) -> Function | None: ...

    @abstractmethod
    async def set_access(
        self, owner_id: str, function_id: str, *, auth: Literal["key", "public"], cors: Cors | None
    ) -> Function | None: ...

    @abstractmethod
    async def next_version(self, owner_id: str, function_id: str) -> tuple[int, int] | None:
        """Takes the next (version number, sequence); no two callers get the same. None when it does not exist."""

    @abstractmethod
    async def next_sequence(self, owner_id: str, function_id: str) -> int | None:
        """Takes the next sequence alone, for a rollback."""

    @abstractmethod
    async def go_live(self, owner_id: str, function_id: str, *, number: int, sequence: int, at: datetime) -> bool:
        """Makes a version live if nothing asked for later is; one compare-and-set.

        False when it lost, or when there is no such version.
        """

    @abstractmethod
    async def set_status(
        self, owner_id: str, function_id: str, status: DeployStatus, *, sequence: int, error: str | None = None
    ) -> bool:
        """Tells how the newest deploy stands; one that is not the newest any more changes nothing."""

    @abstractmethod
    async def restore(self, function: Function) -> bool:
        """Puts the whole row, live version, counts and times included, in place of one that was never live.

        For an import, which adds the row without a live version, then the versions, and ends with this. The row that
        is there must have the same id, owner and `sequence`, and a `live_sequence` of 0. False, and nothing is
        changed, when it has not. Raises `Taken("name")`.
        """

    @abstractmethod
    async def delete(self, owner_id: str, function_id: str) -> bool:
        """Deletes a function with its versions, builds, secrets, usages and logs."""

    @abstractmethod
    async def forget(self, owner_id: str, function_id: str) -> bool:
        """Deletes a function that has no version and no build: takes back an `add` whose deploy was refused."""


class Versions(ABC):
    """Built versions; immutable."""

    @abstractmethod
    async def add(self, version: Version) -> None:
        """Adds a version. Raises `Taken("number")`."""

    @abstractmethod
    async def get(self, owner_id: str, function_id: str, number: int) -> Version | None: ...

    @abstractmethod
    async def list(self, owner_id: str, function_id: str) -> Sequence[Version]:
        """Returns a function's versions, newest first."""

    @abstractmethod
    async def referenced_objects(self) -> set[str]:
        """Returns every object key that some version, unfinished build or newest build of a function refers to.

        A newest build that has failed counts, because its sources are what the owner sees and deploys again.
        """


class Builds(ABC):
    """Durable build jobs."""

    @abstractmethod
    async def add(self, build: Build) -> None: ...

    @abstractmethod
    async def get(self, owner_id: str, build_id: str) -> Build | None: ...

    @abstractmethod
    async def list(self, owner_id: str, function_id: str, *, limit: int = 20) -> Sequence[Build]:
        """Returns a function's builds, newest first."""

    @abstractmethod
    async def claim(self, worker: str, *, now: datetime, until: datetime) -> Build | None:
        """Takes the oldest unfinished build whose lease is free or has run out, for `worker` until `until`.

        Counts an attempt and sets the status to `deploying`. No two workers get the same build at once.
        """

    @abstractmethod
    async def extend(self, build_id: str, worker: str, *, until: datetime, output: str) -> bool:
        """Prolongs the lease and keeps what was printed so far; False when the lease was lost."""

    @abstractmethod
    async def finish(
        self, build_id: str, worker: str, *, status: DeployStatus, error: str | None, output: str, at: datetime
    ) -> bool:
        """Ends a build; False when the lease was lost or it had ended."""


class Secrets(ABC):
    """Encrypted secrets of functions."""

    @abstractmethod
    async def put(self, secret: Secret) -> None:
        """Keeps a secret in place of the earlier one of the same function and name."""

    @abstractmethod
    async def list(self, owner_id: str, function_id: str) -> Sequence[Secret]: ...

    @abstractmethod
    async def delete(self, owner_id: str, function_id: str, name: str) -> bool: ...


class Usages(ABC):
    """Light records of calls."""

    @abstractmethod
    async def record(self, usages: Sequence[Usage]) -> None:
        """Adds records and counts them in their functions' stats.

        A record whose id is there already is neither added nor counted again. One of a function that does not exist is
        dropped.
        """

    @abstractmethod
    async def restore(self, usages: Sequence[Usage]) -> None:
        """Adds records that their functions' stats count already; otherwise as `record`."""

    @abstractmethod
    async def latest(self, owner_id: str, *, limit: int = 20) -> Sequence[Usage]: ...

    @abstractmethod
    async def list(self, owner_id: str, function_id: str, *, limit: int, cursor: str | None = None) -> Page[Usage]: ...

    @abstractmethod
    async def get(self, owner_id: str, function_id: str, usage_id: str) -> Usage | None: ...

    @abstractmethod
    async def delete(self, owner_id: str, function_id: str, usage_id: str | None = None) -> int:
        """Deletes one record, or all of a function; returns how many."""

    @abstractmethod
    async def sweep(self, before: datetime) -> int:
        """Deletes what was made before `before`, in steps that let others write; returns how many."""


class Logs(ABC):
    """Heavy records of calls."""

    @abstractmethod
    async def record(self, logs: Sequence[ExecutionLog]) -> None:
        """Adds records; one whose id is there already, or of a function that does not exist, is passed over."""

    @abstractmethod
    async def list(
        self,
        owner_id: str,
        function_id: str,
        *,
        limit: int,
        cursor: str | None = None,
        status: ExecutionStatus | None = None,
        after: str | None = None,
    ) -> Page[ExecutionLog]:
        """Returns logs newest first; `after` keeps to ids greater than it, to follow new ones."""

    @abstractmethod
    async def get(self, owner_id: str, function_id: str, log_id: str) -> ExecutionLog | None: ...

    @abstractmethod
    async def delete(self, owner_id: str, function_id: str, log_id: str | None = None) -> int:
        """Deletes one record, or all of a function; returns how many."""

    @abstractmethod
    async def sweep(self, before: datetime) -> int:
        """Deletes what was made before `before`, in steps that let others write; returns how many."""


class Store(ABC):
    """All collections of one backend. `open` before use, `close` once after; both may be called again."""

    owners: Owners
    keys: Keys
    sessions: Sessions
    codes: Codes
    functions: Functions
    versions: Versions
    builds: Builds
    secrets: Secrets
    usages: Usages
    logs: Logs

    @abstractmethod
    async def open(self) -> None:
        """Connects, and brings tables and indexes up to date; safe when several services do so at once."""

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def ping(self) -> None:
        """Returns when the store can read and write. Raises `Unavailable`."""

    @abstractmethod
    async def changes(self, after: int) -> Sequence[Change]:
        """Returns what changed after a cursor, oldest first, at most 1,000.

        A row is written with the change it tells of: an owner's making, name, activity or end, a function's making,
        activity, access, live version, restoring, secrets or end, a key's making or end. A later change of the
        same thing may stand for the earlier ones. One call may tell of a change twice, never not at all.
        """

    @abstractmethod
    async def last_change(self) -> int:
        """Returns the newest cursor, 0 when nothing has changed yet."""
