"""What the suite over the sandbox's contract makes its functions and calls with."""

import asyncio
import functools
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from cloudserve.core.confine.bounds import Bounds
from cloudserve.core.confine.tiers import TIERS, Protection, Tier, detect
from cloudserve.core.models.function import Egress, Limits, Runtime
from cloudserve.sandbox.abc import Answer, Call, Deployment, Sandbox
from cloudserve.sandbox.pool import USUAL_BOUNDS, LocalSandbox
from tests.contract.linked import Linked

_numbers = itertools.count(1)

MEBIBYTE = 1024 * 1024
TIER = "CLOUDSERVE_TEST_TIER"
"""The variable that says which tier a test is about."""

REMOTE = "CLOUDSERVE_TEST_REMOTE"
"""The variable that says that a test is about a sandbox beyond a wire."""

TIERS_TO_TEST = "CLOUDSERVE_TEST_TIERS"
"""The variable that says which tiers to test, separated by commas."""

ECHO = {
    "python": "def handler(context):\n    print('seen')\n    return {'body': context.body, 'path': context['path']}\n",
    "node": "module.exports = (context) => { console.log('seen'); return {body: context.body, path: context.path}; };",
}
SLOW = {
    "python": "import time\ndef handler(context):\n    time.sleep(0 if context.path == '/quick' else 0.5)\n"
    "    return 'ok'\n",
    "node": "module.exports = (context) => context.path === '/quick' ? 'ok'\n"
    ": new Promise((done) => setTimeout(() => done('ok'), 500));",
}
SPIN = {
    "python": "def handler(context):\n    while True: pass\n",
    "node": "module.exports = () => { for (;;); };",
}

JSON = ((b"content-type", b"application/json"),)


@dataclass
class Functions:
    """Writes functions into folders and calls them."""

    root: Path
    sandbox: Sandbox
    deployments: list[Deployment] = field(default_factory=list)

    def deploy(
        self,
        runtime: Runtime,
        code: str,
        *,
        entry: str | None = None,
        handler: str | None = None,
        layer: Path | None = None,
        environment: dict[str, str] | None = None,
        function_id: str | None = None,
        files: dict[str, str] | None = None,
        egress: Egress | None = None,
        **limits: Any,
    ) -> Deployment:
        """Returns the deployment of one file of code."""
        number = next(_numbers)
        folder = self.root / f"code{number}"
        entry = entry or {"node": "index.cjs", "python": "main.py"}[runtime]
        for name, content in {entry: code, **(files or {})}.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        deployment = Deployment(
            version_id=f"ver_{number}",
            function_id=function_id or f"fun_{number}",
            owner_id="own_1",
            number=number,
            runtime=runtime,
            code=folder,
            entry=entry,
            handler=handler,
            layer=layer,
            limits=Limits(**limits),
            egress=egress or Egress(),
            environment=environment or {},
            function_name="thing",
        )
        self.deployments.append(deployment)
        return deployment

    async def call(self, deployment: Deployment, **parts: Any) -> Answer:
        """Invokes it."""
        return await self.sandbox.invoke(deployment, make_call(**parts))


def make_call(
    *,
    method: str = "POST",
    path: str = "/",
    query: bytes = b"",
    headers: tuple[tuple[bytes, bytes], ...] = (),
    body: bytes | AsyncIterator[bytes] = b"",
) -> Call:
    """Returns a call."""
    return Call(
        execution_id=f"exe_{next(_numbers)}",
        method=method,
        path=path,
        query=query,
        headers=headers,
        body=body,
        client="203.0.113.9",
        base_url="http://127.0.0.1:7701/run/ann/thing",
    )


async def read(answer: Answer) -> bytes:
    """Returns the whole body."""
    if answer.body is not None:
        return answer.body
    return b"".join([part async for part in answer.parts()])


async def until(condition: Any, seconds: float = 5) -> None:
    """Waits until a condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for is another process's doing
            await asyncio.sleep(0.01)


def descriptors() -> set[str]:
    """Returns the descriptors that this process has open."""
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def children() -> list[int]:
    """Returns the processes below this one."""
    parents = {int(stat[0]): int(stat[1]) for stat in _stats()}
    found = [os.getpid()]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return sorted(found[1:])


def children_of(pid: int) -> list[int]:
    """Returns the processes that a process has started and that have not ended."""
    return [int(stat[0]) for stat in _stats() if int(stat[1]) == pid and stat[2] != "Z"]


def processes(command: str) -> list[int]:
    """Returns the processes whose command line, with NULs, begins so."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if (folder / "cmdline").read_text().startswith(command):
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def is_zombie(pid: int) -> bool:
    """Tells whether a process has ended and only waits to be collected."""
    return any(int(stat[0]) == pid and stat[2] == "Z" for stat in _stats())


def _stats() -> list[tuple[str, str, str]]:
    """Returns pid, parent and state of every process."""
    stats = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            stats.append((folder.name, parent, state))
    return stats


def tested_protection() -> Protection:
    """Returns what this host gives, at most the tier that is under test: every process of a test reads it."""
    return _detected(cast("Tier", os.environ.get(TIER, "A")))


@functools.cache
def _detected(at_most: Tier) -> Protection:
    """Tries the host once: it does not change while tests run."""
    return detect(at_most)


def tiers() -> list[Tier]:
    """Returns the tiers that this process can make and that are to be tested: `TIERS_TO_TEST`, or the best and C."""
    wanted = os.environ.get(TIERS_TO_TEST, f"{_detected('A').tier},C").split(",")
    return [tier for tier in TIERS if tier in wanted and _detected(tier).tier == tier]


def make_sandbox(
    root: Path,
    *,
    max_workers: int = 16,
    idle_seconds: float = 60,
    queue_seconds: float = 5,
    bounds: Bounds = USUAL_BOUNDS,
    egress_allow: tuple[str, ...] = (),
    protection: Protection | None = None,
) -> Sandbox:
    """Returns a sandbox of this host, at the tier that is under test where no protection is given.

    Where the test is about hosts beyond a wire it is reached over one.
    """
    local = LocalSandbox(
        work_dir=root / "work",
        max_workers=max_workers,
        idle_seconds=idle_seconds,
        queue_seconds=queue_seconds,
        max_response_bytes=64 * MEBIBYTE,
        protection=protection or tested_protection(),
        bounds=bounds,
        egress_allow=egress_allow,
    )
    return Linked(local, root / "trees") if os.environ.get(REMOTE) else local


@asynccontextmanager
async def running(root: Path, **changes: Any) -> AsyncIterator[Functions]:
    """Runs a sandbox and closes it."""
    sandbox = make_sandbox(root, **changes)
    await sandbox.start()
    try:
        yield Functions(root, sandbox)
    finally:
        await sandbox.close(grace_seconds=1)
