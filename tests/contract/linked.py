"""A sandbox of this process that is reached over the wire, as a gateway reaches one on another host."""

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cloudserve.sandbox.abc import Call, Deployment, OnEnd, Sandbox, SandboxStats
from cloudserve.sandbox.remote.client import RemoteSandbox
from cloudserve.sandbox.remote.host import SandboxHost
from cloudserve.sandbox.remote.tls import GATEWAY, SANDBOX, TlsFiles
from tests.unit.sandbox.remote.certificates import Authority


class Linked(Sandbox):
    """`sandbox` behind a host, and a gateway's sandbox before it. Figures are those of the sandbox itself: over the
    wire they come a moment later.
    """

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self._sandbox = sandbox
        self._folder = folder
        self._host: SandboxHost | None = None
        self._remote: RemoteSandbox | None = None

    async def start(self) -> None:
        gateway, host = certificates()
        await self._sandbox.start()
        self._host = SandboxHost(self._sandbox, listen="127.0.0.1:0", tls=host, folder=self._folder)
        await self._host.start()
        self._remote = RemoteSandbox(f"127.0.0.1:{self._host.address[1]}", tls=gateway)
        await self._remote.start()
        assert self._remote.reachable == 1

    def submit(self, deployment: Deployment, call: Call, on_end: OnEnd) -> Callable[[], None]:
        assert self._remote is not None
        return self._remote.submit(deployment, call, on_end)

    async def warm(self, deployment: Deployment) -> None:
        assert self._remote is not None
        await self._remote.warm(deployment)

    async def retire(self, function_id: str, *, keep_version: str | None = None) -> None:
        assert self._remote is not None
        await self._remote.retire(function_id, keep_version=keep_version)

    async def close(self, *, grace_seconds: float = 10) -> None:
        if self._remote is not None and self._host is not None:
            await self._remote.close(grace_seconds=grace_seconds)
            await self._host.close(grace_seconds=0)
        await self._sandbox.close(grace_seconds=grace_seconds)

    def stats(self) -> SandboxStats:
        return self._sandbox.stats()

    def __getattr__(self, name: str) -> Any:
        """Lets tests look into the sandbox itself."""
        return getattr(self._sandbox, name)


def certificates() -> tuple[TlsFiles, TlsFiles]:
    """Returns a gateway's and a host's."""
    folder = Path(_folder().name)
    return tuple(
        TlsFiles(folder / "ca.crt", folder / f"{name}.crt", folder / f"{name}.key") for name in (GATEWAY, SANDBOX)
    )  # type: ignore[return-value]


@functools.cache
def _folder() -> "tempfile.TemporaryDirectory[str]":
    """Makes them once for all tests of this process; they go with it."""
    folder = tempfile.TemporaryDirectory()
    authority = Authority(Path(folder.name))
    authority.issue(GATEWAY)
    authority.issue(SANDBOX)
    return folder
