"""The sandbox's contract: hand it a call, get the answer streamed back and, at its end, what became of the call.

Lifecycle
- `start` once, before anything else; `close` at last, also while calls are under way and once more. It leaves no
  process, mount, control group, descriptor or temporary folder.
- All methods are called from one event loop. Between `start` and `close` all of them may be called at any time, from
  any number of tasks at once, also while a version is retired or the sandbox closes. `stats` never waits.

Workers
- A worker runs the code of one version of one owner, ever. A call is handed to a worker that has room for it
  (`Limits.concurrency`); while none has, it waits, and workers are started as the waiting calls need them, each call
  counted once (single flight), up to `Limits.max_workers` and the host's own cap.
- Environment and secrets reach a worker after it was started and before user code is loaded; they are in no argument
  list, no file and no `repr`.
- `Limits.min_warm` workers of a version that was warmed stay. Others end when they are idle for long, when another
  version needs their place, and when the host runs out of memory: the one that was used the longest time ago first.

Calls
- `invoke` either raises `InvocationFailed` before anything was answered, or returns an `Answer`. A streamed answer
  that breaks raises `InvocationFailed` from its stream. Either way there is exactly one `Outcome`.
- The timeout runs from the moment a worker has the call. A call that exceeds it, or is cancelled by its caller, costs
  the worker its life when it does not stop by itself, so nothing of it goes on.

Ends
- A worker that ends fails the calls in it, each once, and what comes next finds another. Their `Outcome` says why:
  the `reason`, the `signal` that ended the process, the `limit` it reached, the `memory_mb` it held at its peak, and
  in `error` its last words. Whatever it had started or left behind ends with it.
- A limit is a `Reason` of its own, and its message has the figure and the limit: "Out of memory: peak 131 MB of 128
  MB." What is cut instead (`logs`) says so in its last line.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cloudserve.core.errors import Component
from cloudserve.core.models.execution import ExecutionStatus, Level
from cloudserve.core.models.function import Egress, Limits, Runtime

Headers = Sequence[tuple[bytes, bytes]]

Reason = Literal[
    "exception",  # the function raised
    "load-failed",  # its code could not be loaded
    "no-handler",  # it exports nothing that can be called
    "bad-response",  # what it returned can't be an HTTP answer
    "timeout",  # wall time
    "cpu",  # processor time, by several threads or processes at once
    "out-of-memory",
    "processes",  # or threads
    "open-files",
    "disk-full",
    "inodes",
    "crash",  # its process ended
    "response-too-large",
    "overloaded",  # no worker became free in time
    "shutdown",  # the sandbox is closing
    "no-sandbox",  # no sandbox host could take it
    "sandbox-lost",  # the sandbox host that had it is gone
]
"""Why a call has no answer. The message of each that is a limit has the figure and the limit."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A version as the sandbox needs it: verified files on this host, and what it may use.

    `code` is the folder with the bundle (or the sources) and `entry` the file in it; `layer` the folder with the
    dependencies, if it has any. `environment` holds the secrets too. `function_name` is what the function is told it is
    called.
    """

    version_id: str
    function_id: str
    owner_id: str
    number: int
    runtime: Runtime
    code: Path
    entry: str
    handler: str | None
    layer: Path | None
    limits: Limits
    egress: Egress
    environment: Mapping[str, str] = field(repr=False)
    function_name: str = ""


@dataclass(slots=True)
class Call:
    """One invocation. `path` is what followed the function's name, beginning with `/`; `query` as it was sent.

    `body` is the whole body, or its parts as they arrive. Nobody changes a call, nor its outcome; they are not frozen
    only because one of each is made per call, and a frozen one takes five times as long to make.
    """

    execution_id: str
    method: str
    path: str
    query: bytes
    headers: Headers
    body: bytes | AsyncIterator[bytes]
    client: str = ""
    base_url: str = ""


@dataclass(frozen=True, slots=True)
class ColdStart:
    """What a cold call spent before its handler ran, in milliseconds; `imports` the slowest modules first.

    `cached`: its bundle was not compiled but loaded from the code cache of an earlier worker.
    """

    spawn_ms: float
    walls_ms: float
    load_ms: float
    imports: Sequence[tuple[str, float]] = ()
    cached: bool = False


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A line the function printed; `time` in seconds since 1970."""

    time: float
    level: Level
    message: str


@dataclass(slots=True)
class Outcome:
    """What became of a call. `error` is for its owner: the message, and the stack where there is one.

    `memory_mb` is the peak of its worker so far; `duration_ms` runs from the hand-over to the end of the answer.
    `signal` is what ended the worker's process, `limit` the bound that was reached, such as "128 MB".
    """

    status: ExecutionStatus
    duration_ms: float
    memory_mb: float
    logs: Sequence[LogEntry] = ()
    logs_truncated: bool = False
    error: str | None = None
    error_name: str | None = None
    reason: Reason | None = None
    cold: ColdStart | None = None
    signal: int | None = None
    limit: str | None = None


class InvocationFailed(Exception):  # noqa: N818 - reads as what happened
    """A call that got no answer, or a stream that broke.

    `status` is the HTTP status it amounts to, `retry_after` the seconds after which another try may do better.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        component: Component,
        reason: Reason,
        outcome: Outcome,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.component: Component = component
        self.reason: Reason = reason
        self.outcome = outcome
        self.retry_after = retry_after


class Answer(ABC):
    """An answer under way: `status` and `headers` are known; the body is whole (`body`) or comes in parts.

    Header names are tokens in lower case, values free of control characters. What frames a message is not the
    function's to say: of `content-length`, `transfer-encoding` and `connection` the only one that can be there is the
    `content-length` of a body that comes in parts and whose length is known.
    """

    status: int
    headers: Headers
    body: bytes | None
    """The whole body; None means that `parts` yields it."""

    cold: ColdStart | None = None
    """What the start of its worker cost, where the call had to wait for that."""

    @abstractmethod
    def parts(self) -> AsyncIterator[bytes]:
        """Yields the body. Ending early cancels the call. Raises `InvocationFailed` when it breaks."""

    @property
    @abstractmethod
    def outcome(self) -> Outcome:
        """What became of the call: known at once when `body` is whole, else when `parts` has ended."""

    @abstractmethod
    async def cancel(self) -> None:
        """Gives the call up: nobody waits for the rest. May be called at any time, also after the end."""


OnEnd = Callable[[Answer | InvocationFailed], None]
"""Takes the answer of a call, or why it has none."""


@dataclass(frozen=True, slots=True)
class SandboxStats:
    """What a sandbox holds at this moment."""

    workers: int
    busy: int
    waiting: int
    starts: int
    kills: int


class Sandbox(ABC):
    """Runs versions. `start` before the first call, `close` after the last."""

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    def submit(self, deployment: Deployment, call: Call, on_end: OnEnd) -> Callable[[], None]:
        """Runs a call without a task of its own: what a warm call costs is mostly tasks.

        `on_end` is called once, maybe before this returns, but never after the call was given up. Returns what gives
        it up, which may be called at any time.
        """

    async def invoke(self, deployment: Deployment, call: Call) -> Answer:
        """Runs a call. Raises `InvocationFailed`. Cancelling it gives the call up."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def on_end(end: Answer | InvocationFailed) -> None:
            if future.done():
                return
            if isinstance(end, Exception):
                future.set_exception(end)
            else:
                future.set_result(end)

        give_up = self.submit(deployment, call, on_end)
        try:
            return await future
        except asyncio.CancelledError:
            give_up()
            raise

    @abstractmethod
    async def warm(self, deployment: Deployment) -> None:
        """Has a worker ready, so that the next call starts none; also keeps `Limits.min_warm` from now on.

        Raises `InvocationFailed` when the code does not load.
        """

    @abstractmethod
    async def retire(self, function_id: str, *, keep_version: str | None = None) -> None:
        """Ends the workers of a function but those of one version; calls under way finish first."""

    @abstractmethod
    async def close(self, *, grace_seconds: float = 10) -> None:
        """Takes no more calls, lets those under way finish for as long as `grace_seconds`, then ends every worker."""

    @abstractmethod
    def stats(self) -> SandboxStats: ...
