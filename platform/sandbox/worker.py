"""One worker: its process, from its start to its end.

A worker is started blank, specialised once, and then takes calls (`Worker.calls`) until it is stopped or ends. It fails
the calls in flight itself.
"""

import asyncio
import logging
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from cloudserve.core.confine.bounds import Bounds
from cloudserve.core.confine.cgroups import Group
from cloudserve.core.confine.egress.policy import Refusal
from cloudserve.core.models.function import Egress
from cloudserve.sandbox.abc import ColdStart
from cloudserve.sandbox.calls import Calls
from cloudserve.sandbox.courtesy import Courtesy
from cloudserve.sandbox.ends import WorkerLost, cause_of
from cloudserve.sandbox.failures import Failure
from cloudserve.sandbox.flight import Flight
from cloudserve.sandbox.guard import Guard
from cloudserve.sandbox.layout import HOME
from cloudserve.sandbox.limits import out_of_memory

_REMOVALS: Final = 5
_BETWEEN_REMOVALS_SECONDS: Final = 0.1

_log = logging.getLogger(__name__)


class Worker:
    """A worker process. Made by `start`; `on_room` is called when a call has ended and another could begin, `on_gone`
    once, when the process has ended.
    """

    def __init__(self, *, guard: Guard, folder: Path | None, bounds: Bounds, group: Group | None) -> None:
        self.folder = folder
        """Its own folder on the host, where it has no root of its own."""
        self.pid = 0
        self.courtesy: Courtesy | None = None
        self.made = time.perf_counter()
        self.walls_ms = 0.0
        self.concurrency = 1
        self.cold: ColdStart | None = None
        self.compiled = False
        """Whether it has compiled a big bundle, and can be asked for the code cache of it."""
        self.listed_free = False
        self.stopping = False
        self.on_room: Callable[[Worker], None] = _nothing
        self.on_gone: Callable[[Worker], None] = _nothing
        self.calls = Calls(bounds=bounds, kill=self.kill, on_disconnected=self._on_disconnected)
        self.calls.on_room = lambda: self.on_room(self)
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = self._loop.create_future()
        self.group = group
        """Its control group, where there are any."""
        self.removal: asyncio.Future[None] | None = None
        """Of its folder, where that was not empty when it ended."""
        self._guard = guard
        self._id = 0
        self._doom: Failure | None = None

    async def start(self, argv: list[str] | None, *, read: Sequence[str], data_bytes: int | None) -> None:
        """Starts the process, walled off but for what it may `read`; it is blank until `specialise`.

        `data_bytes` is its RLIMIT_DATA, unless it sets that itself. Raises `WorkerLost`.
        """
        ours, theirs = socket.socketpair()
        output = self.calls.output.open()
        try:
            if self.folder is not None:
                self.folder.mkdir(mode=0o700)
            try:
                await self._loop.create_unix_connection(lambda: self.calls, sock=ours)
            except BaseException:
                ours.close()
                self._on_ended(-signal.SIGKILL, 0)
                raise
            spawned = await self._guard.spawn(
                sock=theirs.fileno(),
                output=output,
                cwd=HOME if self.folder is None else str(self.folder),
                argv=argv,
                read=read,
                data_bytes=data_bytes,
                groups=() if self.group is None else self.group.entries,
                on_ended=self._on_ended,
                on_refused=self._on_refused,
            )
            self._id, self.pid, self.walls_ms = spawned.id, spawned.pid, spawned.walls_ms
            self.courtesy = Courtesy(self.pid, self.group)
        except OSError as error:
            self._on_ended(-signal.SIGKILL, 0)
            raise WorkerLost(Failure("crash", f"No worker could be started: {error}.")) from error
        finally:
            theirs.close()
            os.close(output)
            if self.group is not None:
                self.group.seal()

    async def admit(self, trees: Mapping[str, Path], egress: Egress) -> None:
        """Gives it the folders of its function, by their place, and lets it connect as that may.

        Raises `WorkerLost`.
        """
        try:
            await self._guard.admit(self._id, trees=trees, egress=egress)
        except OSError as error:
            if not self.stopping:
                self.kill(Failure("crash", f"The worker could not be given its code: {error}."))
            await self.calls.ready  # which is why it ended

    async def specialise(self, spec: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Has the worker load its code and returns its report. Raises `WorkerLost`."""
        try:
            async with asyncio.timeout(seconds):
                await self.calls.hello
                self.calls.specialise(spec)
                return await self.calls.ready
        except TimeoutError:
            message = f"The code did not load within {seconds:g} s."
            failure = Failure("timeout", message, limit=f"{seconds:g} s to load")
            self.kill(failure)
            raise WorkerLost(failure) from None

    def stop(self) -> None:
        """Ends an idle worker."""
        self.kill(Failure("shutdown", "The worker was stopped."))

    def kill(self, cause: Failure) -> None:
        """Ends the process at once; its calls fail with this cause, once it is gone."""
        self.stopping = True
        if self._doom is None:
            self._doom = cause
        if not self.ended.done():
            self._guard.kill(self._id)

    @property
    def busy(self) -> int:
        """The calls in it, those included that nobody waits for any more."""
        return self.calls.count

    @property
    def loaded(self) -> bool:
        """Whether its user code is loaded."""
        return self.calls.ready.done()

    def out_of_memory(self) -> Failure | None:
        """Returns the failure of a worker of which the kernel has ended a process for want of memory."""
        if self.group is None or not self.group.oom_kills():
            return None
        return out_of_memory(max(self.group.peak_bytes() // 1024, self.calls.peak_kib), self.calls.memory_mb)

    def has_room(self) -> bool:
        """Whether it can take another call."""
        return not self.stopping and self.calls.count < self.concurrency

    def begin(self, flight: Flight) -> None:
        """Hands it a call, for which it must have room."""
        if flight.queued:
            flight.cold, self.cold = self.cold, None
        if self.courtesy is not None and self.courtesy.gives_way:
            self.courtesy.call_begins()
        self.calls.begin(flight)

    def _on_disconnected(self) -> None:
        if self._id:
            self.stopping = True
            self._guard.kill(self._id)

    def _on_refused(self, refusal: Refusal) -> None:
        self.calls.log(str(refusal))

    def _on_ended(self, status: int, peak_kib: int) -> None:
        if self.ended.done():
            return
        self.stopping = True
        calls = self.calls
        calls.output.close()
        cause = (
            self._doom
            or self.out_of_memory()
            or cause_of(
                status,
                calls.output.last_words,
                seen_kib=calls.peak_kib,
                most_kib=peak_kib,
                memory_mb=calls.memory_mb,
            )
        )
        for entry in calls.fail_all(cause):
            _log.info("worker %d said outside of a call: %s", self.pid, entry.message)
        if self.folder is not None:
            self._remove_folder(self.folder)
        if not self.ended.done():
            self.ended.set_result(status)
        self.on_gone(self)

    def _remove_folder(self, folder: Path) -> None:
        try:
            folder.rmdir()
        except OSError:
            self.removal = self._loop.run_in_executor(None, _remove, folder)


def _remove(folder: Path) -> None:
    """Removes a folder, also while a process that is being ended still writes to it."""
    for _ in range(_REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_BETWEEN_REMOVALS_SECONDS)


def _nothing(_worker: Worker) -> None:
    """What nobody listens for."""
