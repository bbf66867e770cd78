"""One platform process, as its supervisor sees it."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from cloudserve.cli.supervision.logfile import RotatingFile

KILL_AFTER_SECONDS: Final = 40.0
"""After this a process that was asked to stop is killed; longer than it takes to drain (`serving.DRAIN_SECONDS`)."""

REFUSING: Final = b"refusing\n"
"""Begins the message of a process that will not serve; the reason follows, to the end."""


class Child:
    """A process that serves, in a process group of its own, that ends when its supervisor does.

    `sockets` are descriptors that it inherits and is told of, by the name of the argument; those of `kept` it only
    holds. `settings`, if there is such a file, goes when it ends. With `piped` its output is read here (`watch`).

    It tells over a pipe when it serves (`ready`) and when it takes no more connections (`leaving`), or why it will not
    serve at all (`refusal`, which is empty else). The other pipe is
    the lifeline: the supervisor holds its only writing end, so that its end of file means that the supervisor is gone.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        sockets: Mapping[str, Sequence[int]],
        kept: Sequence[int] = (),
        settings: Path | None = None,
        piped: bool = True,
        kill_after_seconds: float = KILL_AFTER_SECONDS,
    ) -> None:
        told, tell = os.pipe()
        watch, self._lifeline = os.pipe()
        arguments = ["--tell", str(tell), "--lifeline", str(watch)]
        if settings is not None:
            arguments += ["--settings", str(settings)]
        for name, descriptors in sockets.items():
            for descriptor in descriptors:
                arguments += [f"--{name}", str(descriptor)]
        inherited = [descriptor for descriptors in sockets.values() for descriptor in descriptors]
        self.process = subprocess.Popen(  # noqa: S603 - our own program
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if piped else None,
            stderr=subprocess.STDOUT if piped else None,
            pass_fds=[tell, watch, *kept, *inherited],
            process_group=0,
        )
        os.close(tell)
        os.close(watch)
        self.pid = self.process.pid
        self.settings = settings
        self.ready = asyncio.Event()
        self.leaving = asyncio.Event()
        self.ended = asyncio.Event()
        self.stopping = False
        self._kill_after_seconds = kill_after_seconds
        self._told = told
        self._heard = b""
        self._watcher: asyncio.Task[None] | None = None

    def watch(self, log: RotatingFile | None, on_end: "Callable[[Child], None]") -> None:
        """Follows its messages, and its output into `log`, until it ends; then calls `on_end`."""
        self._watcher = asyncio.create_task(self._watch(log, on_end))

    def stop(self) -> None:
        """Asks it to finish what it has begun and end; kills it when it does not."""
        if self.stopping:
            return
        self.stopping = True
        self._signal(signal.SIGTERM)
        asyncio.get_running_loop().call_later(self._kill_after_seconds, self.kill)

    def kill(self) -> None:
        """Kills it, with all of its process group."""
        if not self.ended.is_set():
            self._kill_group()

    @property
    def exit_reason(self) -> str:
        """How it ended, in words."""
        code = self.process.returncode
        if code is not None and code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with code {code}"

    async def _watch(self, log: RotatingFile | None, on_end: "Callable[[Child], None]") -> None:
        output = self.process.stdout
        followed = [asyncio.create_task(_copy(self._told, self._hear))]
        if output is not None and log is not None:
            followed.append(asyncio.create_task(_copy(output.fileno(), log.write)))
        await _end_of(self.pid)
        # Its number is not free before it is waited for, so the group is still its own.
        self._kill_group()
        self.process.wait()
        await asyncio.wait(followed, timeout=1)
        for task in followed:
            task.cancel()
        if output is not None:
            output.close()
        os.close(self._told)
        os.close(self._lifeline)
        if self.settings is not None:
            self.settings.unlink(missing_ok=True)
        for event in (self.leaving, self.ended):
            event.set()
        on_end(self)

    @property
    def refusal(self) -> str:
        """Why it will not serve, in its own words."""
        return self._heard.partition(REFUSING)[2].decode("utf-8", "replace").strip()

    def _hear(self, data: bytes) -> None:
        self._heard += data
        if b"ready\n" in data:
            self.ready.set()
        if b"leaving\n" in data:
            self.leaving.set()

    def _signal(self, number: signal.Signals) -> None:
        if not self.ended.is_set():
            self.process.send_signal(number)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


async def _end_of(pid: int) -> None:
    """Returns when a process has ended; does not reap it."""
    descriptor = os.pidfd_open(pid)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _copy(descriptor: int, write: Callable[[bytes], None]) -> None:
    """Hands on what arrives at a pipe until its end."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    os.set_blocking(descriptor, False)

    def readable() -> None:
        try:
            data = os.read(descriptor, 65536)
        except BlockingIOError:
            return
        if data:
            write(data)
        else:
            loop.remove_reader(descriptor)
            ended.set_result(None)

    loop.add_reader(descriptor, readable)
    try:
        await ended
    finally:
        loop.remove_reader(descriptor)
