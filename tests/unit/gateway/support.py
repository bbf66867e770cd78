"""A gateway on loopback with a real store, real objects and real servers, and a sandbox that does as each test says."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI

from cloudserve.core.auth.credentials import Credentials
from cloudserve.core.auth.sealing import Sealer
from cloudserve.core.auth.tokens import digest, hint, new_api_key
from cloudserve.core.config import DataFolder, Settings
from cloudserve.core.models.base import utc_now
from cloudserve.core.models.execution import ExecutionLog, Usage
from cloudserve.core.models.function import Cors, Function, Version, VersionSpec
from cloudserve.core.models.owner import ALL_SCOPES, ApiKey, Owner, Scope, Secret
from cloudserve.core.objects.filesystem import FilesystemObjects
from cloudserve.core.store.sqlite import SqliteStore
from cloudserve.core.trees import pack_tree
from cloudserve.gateway.http import HttpProtocol
from cloudserve.gateway.service import GatewayService
from cloudserve.sandbox.abc import (
    Answer,
    Call,
    Deployment,
    Headers,
    InvocationFailed,
    LogEntry,
    OnEnd,
    Outcome,
    Sandbox,
    SandboxStats,
)

Script = Callable[[Deployment, Call], Awaitable[Answer]]
HELLO = b"hello"


class WholeAnswer(Answer):
    """An answer that is all there."""

    def __init__(
        self, status: int = 200, headers: Headers = (), body: bytes = HELLO, *, outcome: Outcome | None = None
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self._outcome = outcome or Outcome("success", duration_ms=1, memory_mb=2)

    async def parts(self) -> AsyncIterator[bytes]:
        """Yields the body as one part."""
        yield self.body or b""

    @property
    def outcome(self) -> Outcome:
        """What became of the call."""
        return self._outcome

    async def cancel(self) -> None:
        """Nothing is under way."""


class StreamedAnswer(WholeAnswer):
    """An answer in parts."""

    def __init__(self, parts: AsyncIterator[bytes], status: int = 200, headers: Headers = ()) -> None:
        super().__init__(status, headers)
        self.body = None
        self.cancelled = asyncio.Event()
        self._parts = parts

    def parts(self) -> AsyncIterator[bytes]:
        """Yields the parts."""
        return self._parts

    async def cancel(self) -> None:
        """Tells the test."""
        self.cancelled.set()


async def hello(_deployment: Deployment, _call: Call) -> Answer:
    """Answers `hello`."""
    return WholeAnswer()


class ScriptedSandbox(Sandbox):
    """Runs `script` for each call, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.script: Script = hello
        self.calls: list[tuple[Deployment, Call]] = []
        self.warmed: list[Deployment] = []
        self.retired: list[tuple[str, str | None]] = []
        self.warming: Callable[[Deployment], Awaitable[None]] | None = None

    async def start(self) -> None:
        """Nothing to start."""

    def submit(self, deployment: Deployment, call: Call, on_end: OnEnd) -> Callable[[], None]:
        """Runs the script. What it raises that is no failure of a call is handed on as it is, as a bug would be."""
        self.calls.append((deployment, call))
        task = asyncio.ensure_future(self.script(deployment, call))

        def ended(task: "asyncio.Future[Answer]") -> None:
            if not task.cancelled():
                on_end(task.exception() or task.result())  # type: ignore[arg-type]

        task.add_done_callback(ended)
        return lambda: task.cancel() and None

    async def warm(self, deployment: Deployment) -> None:
        """Remembers it, after what the test has to do meanwhile."""
        if self.warming is not None:
            await self.warming(deployment)
        self.warmed.append(deployment)

    async def retire(self, function_id: str, *, keep_version: str | None = None) -> None:
        """Remembers it."""
        self.retired.append((function_id, keep_version))

    async def close(self, *, grace_seconds: float = 10) -> None:
        """Nothing to close."""

    def stats(self) -> SandboxStats:
        """Nothing is held."""
        return SandboxStats(0, 0, 0, 0, 0)


def failure(
    status: int = 500, message: str = "boom", *, reason: str = "exception", component: str = "function", **more: object
) -> InvocationFailed:
    """Returns a failure whose outcome has one log line."""
    outcome = Outcome(
        "timeout" if reason == "timeout" else "error",
        duration_ms=3,
        memory_mb=4,
        logs=[LogEntry(1_700_000_000.5, "error", "it went wrong")],
        error=f"{message}\n  at secret.js:1",
        reason=reason,  # type: ignore[arg-type] # tests pass words
    )
    return InvocationFailed(status, message, component=component, reason=reason, outcome=outcome, **more)  # type: ignore[arg-type]


@dataclass
class Platform:
    """A gateway that runs, and what it runs on."""

    settings: Settings
    store: SqliteStore
    objects: FilesystemObjects
    credentials: Credentials
    sandbox: Sandbox
    gateway: GatewayService
    functions: httpx2.AsyncClient
    platform: httpx2.AsyncClient
    counter: int = field(default=0)

    async def owner(self, name: str = "alice") -> Owner:
        """Adds a user."""
        owner = Owner(name=name, email=f"{name}@example.com", is_verified=True)
        await self.store.owners.add(owner)
        return owner

    async def key(
        self,
        owner: Owner,
        *,
        scopes: tuple[Scope, ...] = ALL_SCOPES,
        function_ids: list[str] | None = None,
        **more: object,
    ) -> str:
        """Adds a key and returns its text."""
        text = new_api_key()
        row = ApiKey(
            owner_id=owner.id,
            key_hash=digest(text),
            hint=hint(text),
            scopes=list(scopes),
            function_ids=function_ids,
            **more,  # type: ignore[arg-type]
        )
        await self.store.keys.add(row)
        return text

    async def function(
        self, owner: Owner, name: str = "hello", *, public: bool = False, cors: Cors | None = None, live: bool = True
    ) -> Function:
        """Adds a function, with a live version if asked for."""
        function = Function(owner_id=owner.id, name=name, auth="public" if public else "key", cors=cors)
        await self.store.functions.add(function)
        if live:
            await self.deploy(function)
        return await self.again(function)

    async def deploy(self, function: Function, source: str = "exports.handler = 1", **spec: object) -> Version:
        """Makes a version of one file and has it go live."""
        taken = await self.store.functions.next_version(function.owner_id, function.id)
        assert taken is not None
        number, sequence = taken
        self.counter += 1
        work = self.settings.data_dir / f"deploy-{self.counter}"
        tree = work / "tree"
        tree.mkdir(parents=True)
        runtime = spec.pop("runtime", "node")
        entry = "index.cjs" if runtime == "node" else "main.py"
        (tree / entry).write_text(source)
        archive = work / "bundle.tar.gz"
        pack_tree(tree, archive)
        path = f"{function.id}/bundle/{number}/bundle.tar.gz"
        stored = await self.objects.put(path, archive)
        language = "javascript" if runtime == "node" else "python"
        version = Version(
            function_id=function.id,
            owner_id=function.owner_id,
            number=number,
            spec=VersionSpec(runtime=runtime, language=language, entry=entry, **spec),  # type: ignore[arg-type]
            source_path=path,
            source_hash=stored.sha256,
            bundle_path=path,
            bundle_hash=stored.sha256,
            bundle_entry=entry,
            created_by=function.owner_id,
        )
        await self.store.versions.add(version)
        assert await self.store.functions.go_live(
            function.owner_id, function.id, number=number, sequence=sequence, at=utc_now()
        )
        return version

    async def secret(self, function: Function, name: str, value: str) -> None:
        """Sets a secret, sealed as the API does."""
        sealed = Sealer(self.credentials.secrets_key).seal(value, context=f"{function.id}/{name}")
        await self.store.secrets.put(
            Secret(owner_id=function.owner_id, function_id=function.id, name=name, ciphertext=sealed)
        )

    async def again(self, function: Function) -> Function:
        """Reads a function anew."""
        row = await self.store.functions.get(function.owner_id, function.id)
        assert row is not None
        return row

    async def records(self, function: Function, count: int = 1) -> tuple[list[Usage], list[ExecutionLog]]:
        """Returns the records of a function, oldest first, when at least `count` have arrived."""
        while True:
            usages = await self.store.usages.list(function.owner_id, function.id, limit=1_000)
            logs = await self.store.logs.list(function.owner_id, function.id, limit=1_000)
            if len(usages.rows) >= count and len(logs.rows) >= count:
                return list(usages.rows)[::-1], list(logs.rows)[::-1]
            await asyncio.sleep(0.02)

    @property
    def scripted(self) -> ScriptedSandbox:
        """The sandbox, where it is the scripted one."""
        assert isinstance(self.sandbox, ScriptedSandbox)
        return self.sandbox


async def eventually(true: Callable[[], Any]) -> None:
    """Returns when something has become true."""
    while not true():  # noqa: ASYNC110 - polls what has no event
        await asyncio.sleep(0.01)


async def settled(platform: Platform) -> None:
    """Returns when the gateway has seen every change there is."""
    last = await platform.store.last_change()
    await eventually(lambda: platform.gateway._feed._cursor >= last)


@contextlib.asynccontextmanager
async def serving(app: object, **options: Any) -> AsyncIterator[int]:
    """Serves an application on a free port of loopback, as the platform does; yields the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=HttpProtocol,
        lifespan="off",
        access_log=False,
        proxy_headers=False,
        log_level="critical",
        timeout_graceful_shutdown=1,
        **options,
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined,method-assign,unused-ignore]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        listener.close()


@contextlib.asynccontextmanager
async def running(folder: Path, sandbox: Sandbox, **settings: object) -> AsyncIterator[Platform]:
    """Runs a gateway over a data folder, its functions' origin and a stand-in for the platform's."""
    config = Settings.load(data_dir=folder, **settings)
    data = DataFolder(folder)
    store = SqliteStore(data.database)
    objects = FilesystemObjects(data.objects)
    await store.open()
    await objects.open()
    await sandbox.start()
    credentials = Credentials.load_or_create(data.credentials)
    gateway = GatewayService(settings=config, store=store, objects=objects, credentials=credentials, sandbox=sandbox)
    origin = FastAPI()
    origin.mount("/run", gateway.compat)
    await gateway.start()
    try:
        async with (
            serving(gateway.app) as run_port,
            serving(origin) as port,
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{run_port}", trust_env=False) as functions,
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as platform,
        ):
            yield Platform(config, store, objects, credentials, sandbox, gateway, functions, platform)
    finally:
        await gateway.close()
        await sandbox.close(grace_seconds=1)
        await store.close()
        await objects.close()
