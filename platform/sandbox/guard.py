"""The host's side of the processes behind a sandbox: starts them, admits workers, and hears of what was refused.

One program is started. At tiers A, B and C it divides into the warden, which stays outside of the walls, and the
zygote, which starts workers inside; with no walls it is the zygote alone. They live and die together.
"""

import asyncio
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cloudserve.core import isolated
from cloudserve.core.confine.bounds import Bounds
from cloudserve.core.confine.egress.policy import Refusal
from cloudserve.core.confine.tiers import Protection
from cloudserve.core.models.function import Egress
from cloudserve.sandbox.channel import Channel
from cloudserve.sandbox.runtimes.python.settings import Settings
from cloudserve.sandbox.zygote import OnEnded, Zygote

NODE_RUNTIME: Final = Path(__file__).parent / "runtimes" / "node"
_BOOT: Final = "cloudserve.sandbox.runtimes.python.boot"
_CERTIFICATES: Final = ("NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE")
"""The variables by which a host says where certificates are."""

MOST_SPAWNING: Final = 32
"""Workers asked of the zygote at once; it forks one after the other. The kernel bounds the bytes and the descriptors
that may be under way to it (unix(7), ETOOMANYREFS)."""


@dataclass(frozen=True, slots=True)
class Spawned:
    """A worker that was started: its id, its pid on this host, and what raising its walls took."""

    id: int
    pid: int
    walls_ms: float


class Guard:
    """The processes behind a sandbox. `start` first, `close` last; `on_lost` is called when they have ended."""

    def __init__(
        self,
        *,
        python: Path,
        node: Path | None,
        protection: Protection,
        bounds: Bounds,
        egress_allow: Sequence[str],
        on_lost: Callable[[], None],
    ) -> None:
        self._python = python
        self._node = node
        self._tier = protection.tier
        self._keeps_sockets = not protection.has("notifier-duplicates")
        self._scoped = protection.has("landlock-signals")
        self._egress_allow = tuple(egress_allow)
        self._bounds = bounds
        self._on_lost = on_lost
        self._on_refused: dict[int, Callable[[Refusal], None]] = {}
        self._last_id = 0
        self._spawning = asyncio.Semaphore(MOST_SPAWNING)
        self._walled: dict[int, asyncio.Future[tuple[int, float]]] = {}
        self._admitted: dict[int, asyncio.Future[None]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._zygote = Zygote(self._lost)
        self._warden = None if self._tier == "none" else Channel(self._take, self._lost)

    async def start(self) -> None:
        """Starts the processes and waits until they can start workers. Raises ConnectionResetError when they end."""
        channels = [self._zygote.channel, *([self._warden] if self._warden else [])]
        descriptors = [channel.theirs.fileno() for channel in channels]
        settings = Settings(
            tier=self._tier,
            control=descriptors[0],
            warden=descriptors[1] if self._warden else -1,
            bounds=self._bounds,
            node=str(self._node) if self._node else None,
            node_runtime=str(NODE_RUNTIME),
            scoped=self._scoped,
            egress_allow=self._egress_allow,
            keeps_sockets=self._keeps_sockets,
            certificates=tuple(os.environ[name] for name in _CERTIFICATES if os.environ.get(name)),
        )
        self._zygote.channel.send(asdict(settings))
        self._process = await asyncio.to_thread(
            subprocess.Popen,
            isolated.command(self._python, _BOOT, str(settings.control)),
            stdin=subprocess.DEVNULL,
            pass_fds=descriptors,
            env={},
            cwd="/",
            start_new_session=True,
        )
        for channel in channels:
            channel.handed_over()
        await self._zygote.ready()

    async def spawn(
        self,
        *,
        sock: int,
        output: int,
        cwd: str,
        argv: list[str] | None,
        read: Sequence[str],
        data_bytes: int | None,
        groups: Sequence[int],
        on_ended: OnEnded,
        on_refused: Callable[[Refusal], None],
    ) -> Spawned:
        """Starts a worker, and returns when its walls stand. Raises OSError.

        `on_refused` hears of connections that it is refused; the other parameters are `Zygote.spawn`'s.
        """
        self._last_id += 1
        worker_id = self._last_id
        walls: asyncio.Future[tuple[int, float]] = asyncio.get_running_loop().create_future()

        def ended(status: int, peak_kib: int) -> None:
            for waiting in (self._walled.pop(worker_id, None), self._admitted.pop(worker_id, None)):
                if waiting is not None and not waiting.done():
                    waiting.set_exception(ProcessLookupError("the worker has ended"))
            self._on_refused.pop(worker_id, None)
            on_ended(status, peak_kib)

        if self._warden is not None:
            self._walled[worker_id] = walls
            self._on_refused[worker_id] = on_refused
        try:
            async with self._spawning:
                pid = await self._zygote.spawn(
                    worker_id,
                    sock=sock,
                    output=output,
                    cwd=cwd,
                    argv=argv,
                    read=read,
                    data_bytes=data_bytes,
                    groups=groups,
                    on_ended=ended,
                )
            return Spawned(worker_id, pid, 0.0) if self._warden is None else Spawned(worker_id, *await walls)
        finally:
            self._walled.pop(worker_id, None)

    async def admit(self, worker_id: int, *, trees: Mapping[str, Path], egress: Egress) -> None:
        """Puts code in its place in a worker, folders by their name below /box, and lets it connect as it may.

        Raises OSError when that fails, or the worker has ended.
        """
        if self._warden is None:
            return
        admitted = self._admitted[worker_id] = asyncio.get_running_loop().create_future()
        rules = {"mode": egress.mode, "allow": list(egress.allow)}
        named = [[str(folder), name] for name, folder in trees.items()]
        try:
            self._warden.send({"admit": worker_id, "trees": named, "egress": rules})
            await admitted
        finally:
            self._admitted.pop(worker_id, None)

    def kill(self, worker_id: int) -> None:
        """Ends a worker at once; nothing happens to one that has ended."""
        self._zygote.kill(worker_id)

    async def close(self) -> None:
        """Ends the processes, and with them every worker."""
        self._disconnect()
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)
            self._process = None
        self._zygote.forget_workers()

    def _take(self, message: dict[str, Any]) -> None:
        if "registered" in message:
            walls = self._walled.get(message["registered"])
            if walls is not None and not walls.done():
                walls.set_result((message["pid"], message["walls"]))
        elif "admitted" in message:
            admitted = self._admitted.get(message["admitted"])
            if admitted is not None and not admitted.done():
                admitted.set_result(None)
        elif "failed" in message:
            admitted = self._admitted.get(message["failed"])
            if admitted is not None and not admitted.done():
                admitted.set_exception(OSError(message["error"]))
        else:
            refusal = Refusal(message.pop("refused"), **message)
            on_refused = self._on_refused.get(refusal.worker_id)
            if on_refused is not None:
                on_refused(refusal)

    def _lost(self) -> None:
        """One of the processes has ended, so the others do."""
        self._disconnect()
        self._zygote.forget_workers()
        self._on_lost()

    def _disconnect(self) -> None:
        self._zygote.channel.close()
        if self._warden is not None:
            self._warden.close()
