"""A sandbox that does what a call's path says, and what it takes to have gateways call it over the wire."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cloudserve.core.models.function import Egress, Limits
from cloudserve.sandbox.abc import (
    Answer,
    Call,
    Deployment,
    InvocationFailed,
    LogEntry,
    OnEnd,
    Outcome,
    Sandbox,
    SandboxStats,
)
from cloudserve.sandbox.answers import StreamedAnswer, WholeAnswer
from cloudserve.sandbox.remote.client import RemoteSandbox
from cloudserve.sandbox.remote.host import SandboxHost
from cloudserve.sandbox.remote.tls import TlsFiles
from tests.contract.sandboxes import make_call, read, until

__all__ = ["make_call", "read", "until"]

PART = b"x" * 65536


class Scripted(Sandbox):
    """Answers `/held` when `let_go` says so, `/parts` with parts without end, `/count` with the size of its body,
    `/fail` with a failure that has all there is, and everything else with its own name.
    """

    def __init__(self, name: str = "scripted") -> None:
        self.name = name
        self.begun: list[Call] = []
        self.deployments: list[Deployment] = []
        self.given_up: list[Call] = []
        self.warmed: list[str] = []
        self.retired: list[tuple[str, str | None]] = []
        self.sent = 0
        self.held: list[Callable[[], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None: ...

    def submit(self, deployment: Deployment, call: Call, on_end: OnEnd) -> Callable[[], None]:
        self.begun.append(call)
        self.deployments.append(deployment)
        outcome = Outcome("success", 1.5, 20.25, [LogEntry(1.0, "info", "seen")] if call.path == "/log" else ())
        answer: Answer = WholeAnswer(200, ((b"x-host", self.name.encode()),), self.name.encode(), lambda: outcome)
        if call.path == "/held":
            self.held.append(lambda: on_end(answer))
        elif call.path == "/parts":
            streamed = StreamedAnswer(200, (), on_consumed=self._more, on_given_up=lambda: self.given_up.append(call))
            self._streamed = streamed
            on_end(streamed)
            self._more(0)
        elif call.path == "/count":
            task = asyncio.create_task(self._count(call, on_end))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif call.path == "/fail":
            on_end(a_failure())
        else:
            on_end(answer)
        return lambda: self.given_up.append(call)

    def _more(self, _taken: int) -> None:
        self.sent += 1
        self._streamed.take(PART)

    async def _count(self, call: Call, on_end: OnEnd) -> None:
        assert not isinstance(call.body, bytes)
        size = 0
        async for part in call.body:
            size += len(part)
        on_end(WholeAnswer(200, (), str(size).encode(), lambda: Outcome("success", 1, 1)))

    async def warm(self, deployment: Deployment) -> None:
        if deployment.entry == "broken.py":
            raise a_failure()
        self.warmed.append(deployment.version_id)

    async def retire(self, function_id: str, *, keep_version: str | None = None) -> None:
        self.retired.append((function_id, keep_version))

    async def close(self, *, grace_seconds: float = 10) -> None: ...

    def stats(self) -> SandboxStats:
        return SandboxStats(workers=1, busy=len(self.held), waiting=0, starts=len(self.begun), kills=0)

    def let_go(self) -> None:
        """Answers the calls that are held."""
        held, self.held = self.held, []
        for answer in held:
            answer()


def a_failure() -> InvocationFailed:
    """Returns a failure with everything that one can have."""
    outcome = Outcome(
        "error",
        2.5,
        130.0,
        [LogEntry(1.5, "warn", "nearly")],
        True,
        "ValueError: no\n  at line 2",
        "ValueError",
        "out-of-memory",
        None,
        9,
        "128 MB",
    )
    return InvocationFailed(
        502, "Out of memory.", component="function", reason="out-of-memory", outcome=outcome, retry_after=3
    )


def a_deployment(folder: Path, function_id: str = "fun_1", **changes: object) -> Deployment:
    """Returns a deployment of one file."""
    code = folder / "code" / function_id
    code.mkdir(parents=True, exist_ok=True)
    (code / "main.py").write_text(f"# {function_id}\n")
    values: dict[str, object] = {
        "version_id": f"ver_{function_id}",
        "function_id": function_id,
        "owner_id": "own_1",
        "number": 1,
        "runtime": "python",
        "code": code,
        "entry": "main.py",
        "handler": None,
        "layer": None,
        "limits": Limits(),
        "egress": Egress(),
        "environment": {"TOKEN": "s3cret"},
    }
    return Deployment(**(values | changes))  # type: ignore[arg-type]  # a test's own values


@dataclass
class Hosts:
    """Hosts with scripted sandboxes, and a gateway's sandbox over them."""

    folder: Path
    remote: RemoteSandbox
    hosts: dict[str, SandboxHost] = field(default_factory=dict)
    sandboxes: dict[str, Scripted] = field(default_factory=dict)

    @property
    def begun(self) -> dict[str, int]:
        """How many calls each host was handed."""
        return {name: len(sandbox.begun) for name, sandbox in self.sandboxes.items()}

    async def ask(self, deployment: Deployment, path: str = "/", **parts: object) -> Answer:
        """Calls a function."""
        return await self.remote.invoke(deployment, make_call(path=path, **parts))  # type: ignore[arg-type]


@asynccontextmanager
async def hosts(
    folder: Path,
    count: int = 1,
    *,
    gateway_tls: TlsFiles | None = None,
    host_tls: TlsFiles | None = None,
    capacity: int = 2,
) -> AsyncIterator[Hosts]:
    """Runs hosts, and a gateway's sandbox that is connected with them."""
    made: dict[str, SandboxHost] = {}
    scripted: dict[str, Scripted] = {}
    for number in range(count):
        sandbox = Scripted(f"host{number}")
        host = SandboxHost(
            sandbox, listen="127.0.0.1:0", tls=host_tls, folder=folder / f"trees{number}", capacity=capacity
        )
        await host.start()
        name = f"127.0.0.1:{host.address[1]}"
        made[name], scripted[name] = host, sandbox
    remote = RemoteSandbox(",".join(made), tls=gateway_tls)
    await remote.start()
    try:
        yield Hosts(folder, remote, made, scripted)
    finally:
        await remote.close(grace_seconds=0)
        for host in made.values():
            await host.close(grace_seconds=0)
