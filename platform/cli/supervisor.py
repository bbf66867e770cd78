"""Keeps the platform running: holds its listening sockets, and starts its process again when it ends.

- The sockets are open before the platform process runs and stay open while it is replaced, so nobody is refused.
- SIGHUP reads the settings again: a new process is started beside the old one; once it serves, the old one takes no
  more connections, finishes what it has begun and ends. When the new one fails, the old one goes on.
- A process that crashes is started again, at once the first time, then after waits that double (`waits`).
- SIGTERM ends the platform gracefully and then the supervisor.
- The supervisor killed, the platform process ends by itself: nothing is left that nobody watches.

`python -m cloudserve.cli.supervisor --settings FILE` reads `data_dir`, `host`, `port` and `run_port` from the file that
`core.config.Settings` describes, and hands a copy of it to each platform process.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cloudserve.cli.supervision.child import Child
from cloudserve.cli.supervision.listeners import Address, Listeners, addresses
from cloudserve.cli.supervision.logfile import RotatingFile
from cloudserve.cli.supervision.record import AlreadyRunning, Record
from cloudserve.cli.supervision.waits import next_wait

READY_SECONDS: Final = 60.0
PLATFORM: Final = (sys.executable, "-m", "cloudserve.cli.platform")

EXIT_CANNOT_START: Final = 1
EXIT_ALREADY_RUNNING: Final = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """The settings as the supervisor needs them; `content` is all of them, for the platform process."""

    content: str
    instance: str
    addresses: tuple[Address, ...]

    @classmethod
    def read(cls, file: Path) -> "Wanted":
        """Reads the settings' file. Raises OSError or ValueError."""
        content = file.read_text()
        settings: dict[str, Any] = json.loads(content)
        where = addresses(settings.get("host", "127.0.0.1"), settings["port"], settings["run_port"])
        return cls(content, settings.get("instance", ""), tuple(where))


class Supervisor:
    """Keeps one platform process running on the settings in a file. `command` starts such a process."""

    def __init__(self, settings: Path, *, record: Record, log: RotatingFile, command: Sequence[str] = PLATFORM) -> None:
        self._file = settings
        self._record = record
        self._log = log
        self._command = command
        self._listeners = Listeners()
        self._wanted = Wanted.read(settings)
        self._current: Child | None = None
        self._children: set[Child] = set()
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._fell = asyncio.Event()
        self._why_not = ""
        self._restarts = 0
        self._started = 0

    async def run(self) -> None:
        """Runs until it is told to stop. Raises OSError when it can't listen."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        self._note(state="starting")
        self._listeners.open(self._wanted.addresses)
        keeping = asyncio.create_task(self._keep())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            done, _ = await asyncio.wait([keeping, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            keeping.cancel()
            stopping.cancel()
            self._note(state="stopping")
            self._listeners.close_all()
            for child in self._children:
                child.stop()
            await asyncio.gather(*(child.ended.wait() for child in list(self._children)))
            self._say("stopped")

    async def _keep(self) -> None:
        """Starts what has fallen, replaces what is to be replaced, one after the other."""
        self._fell.set()
        while True:
            await _first(self._fell, self._reload)
            if self._fell.is_set():
                await self._raise()
            else:
                self._reload.clear()
                await self._replace()

    async def _raise(self) -> None:
        """Gets a platform process to serve, however often it takes."""
        wait = 0.0
        while True:
            self._fell.clear()
            if self._reload.is_set():  # newer settings may be what it needs
                self._reload.clear()
                self._take_up_settings()
            begun = time.monotonic()
            if child := await self._serving(self._wanted):
                self._current = child
                self._note(state="ready", instance=self._wanted.instance, child=child.pid, error=None)
                return
            self._note(state="failed", failed=self._wanted.instance, error=self._why_not)
            wait = next_wait(wait, time.monotonic() - begun)
            self._say(f"the platform did not start; trying again in {wait:g} s")
            await _first(self._reload, limit=wait)

    async def _replace(self) -> None:
        """Hands over to a process with the newest settings; keeps the old one when that fails."""
        before = self._wanted
        try:
            wanted = Wanted.read(self._file)
            fresh = self._listeners.open(wanted.addresses)
        except (OSError, ValueError, KeyError) as error:
            self._refuse(f"the new settings can't be used: {error}", self._instance_in_file())
            return
        self._say("taking up new settings")
        child = await self._serving(wanted)
        if child is None:
            self._listeners.close(fresh)
            self._refuse(self._why_not, wanted.instance)
            return
        old, self._current, self._wanted = self._current, child, wanted
        self._fell.clear()
        if old is not None:
            old.stop()
            await _first(old.leaving, limit=READY_SECONDS)
        self._listeners.keep_only(wanted.addresses)
        self._note(state="ready", instance=wanted.instance, child=child.pid, error=None, failed=None)
        if before.addresses != wanted.addresses:
            self._say("listening on " + ", ".join(f"{a.host}:{a.port}" for a in wanted.addresses))

    def _take_up_settings(self) -> None:
        try:
            wanted = Wanted.read(self._file)
            self._listeners.open(wanted.addresses)
        except (OSError, ValueError, KeyError) as error:
            self._refuse(f"the new settings can't be used: {error}", self._instance_in_file())
            return
        self._wanted = wanted
        self._listeners.keep_only(wanted.addresses)

    def _start(self, wanted: Wanted) -> Child:
        self._started += 1
        copy = self._file.with_name(f".settings-{os.getpid()}-{self._started}.json")
        with os.fdopen(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(wanted.content)
        child = Child(
            self._command,
            sockets={
                "platform": self._listeners.descriptors(wanted.addresses, "platform"),
                "run": self._listeners.descriptors(wanted.addresses, "run"),
            },
            kept=[self._record.lock],
            settings=copy,
        )
        self._children.add(child)
        child.watch(self._log, self._ended)
        self._say(f"started platform process {child.pid}")
        return child

    async def _serving(self, wanted: Wanted) -> Child | None:
        """Starts a platform process and returns it once it serves; None when it does not come to that."""
        try:
            child = self._start(wanted)
        except OSError as error:
            self._why_not = f"the platform process could not be started: {error}"
            self._say(self._why_not)
            return None
        await _first(child.ready, child.ended, limit=READY_SECONDS)
        if child.ready.is_set() and not child.ended.is_set():
            return child
        if not child.ended.is_set():
            self._say(f"platform process {child.pid} was not ready after {READY_SECONDS:g} s")
            child.kill()
            await child.ended.wait()
        self._why_not = child.refusal or self._log.tail(20)
        return None

    def _ended(self, child: Child) -> None:
        self._children.discard(child)
        if child.stopping:
            self._say(f"platform process {child.pid} has finished")
            return
        self._say(f"platform process {child.pid} {child.exit_reason}")
        if child is self._current:
            self._current = None
            self._restarts += 1
            self._note(state="starting", child=None, restarts=self._restarts)
            self._fell.set()

    def _refuse(self, error: str, instance: str) -> None:
        self._say("the new settings were refused; the old ones stay in effect")
        self._note(failed=instance, error=error)

    def _instance_in_file(self) -> str:
        try:
            return str(json.loads(self._file.read_text()).get("instance", ""))
        except (OSError, ValueError):
            return ""

    def _note(self, **changes: Any) -> None:
        self._record.update(**changes)

    def _say(self, text: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._log.write(f"{now} supervisor[{os.getpid()}]: {text}\n".encode())


async def _first(*events: asyncio.Event, limit: float | None = None) -> None:
    """Returns when one of the events is set, or after `limit` seconds."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def supervise(settings: Path, *, command: Sequence[str] = PLATFORM) -> int:
    """Supervises until told to stop, and returns the process's exit code."""
    data = Path(json.loads(settings.read_text())["data_dir"])
    try:
        record = Record(data / "run")
    except AlreadyRunning as error:
        print(f"cloudserve: {error}", file=sys.stderr)
        return EXIT_ALREADY_RUNNING
    log = RotatingFile(data / "logs" / "platform.log")
    try:
        asyncio.run(Supervisor(settings, record=record, log=log, command=command).run())
    except (OSError, ValueError, KeyError) as error:
        record.update(state="failed", error=str(error))
        log.write(f"supervisor: {error}\n".encode())
        print(f"cloudserve: {error}", file=sys.stderr)
        return EXIT_CANNOT_START
    record.remove()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and supervises."""
    parser = argparse.ArgumentParser(prog="cloudserve.cli.supervisor", description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="the file with the platform's settings")
    return supervise(parser.parse_args(arguments).settings)


if __name__ == "__main__":
    sys.exit(main())
