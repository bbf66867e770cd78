"""CloudServe itself, as it is run: the platform's own process on loopback, with keys, limits, usage and logs on."""

import asyncio
import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cloudserve.cli.bench.load import Target
from cloudserve.cli.bench.processes import environment
from cloudserve.cli.bench.seeding import OWNER, Seed, plant
from cloudserve.cli.output import CommandError
from cloudserve.core.config import DataFolder
from cloudserve.core.store.sqlite import SqliteStore

PLATFORM: Final = "cloudserve.cli.platform"
UNWALLED: Final = "cloudserve.cli.bench.unwalled"

_START_SECONDS: Final = 60.0
_END_SECONDS: Final = 40.0
_LIMITS_ON: Final = {"rate_per_second": 1_000_000, "rate_burst": 1_000_000}
"""Limits that are checked for each call and that no call exceeds."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A platform that runs: the origin of its functions, by owner a key that may call them, and its process."""

    origin: str
    keys: dict[str, str] = field(repr=False)
    pid: int
    data_dir: Path

    def target(self, function: str, *, title: str | None = None, owner: str = OWNER) -> Target:
        """Returns one function as a target; it answers `hello`."""
        return Target(title or function, f"{self.origin}/run/{owner}/{function}", "hello", self.pid, self.keys[owner])

    def recorded(self) -> int:
        """Returns how many calls the store has counted so far."""
        return asyncio.run(_executed(DataFolder(self.data_dir).database))


async def _executed(database: Path) -> int:
    store = SqliteStore(database)
    await store.open()
    try:
        owners = (await store.owners.list(limit=100)).rows
        return sum([one.stats.executed for owner in owners for one in await store.functions.list(owner.id)])
    finally:
        await store.close()


@contextlib.contextmanager
def platform(seeds: Sequence[Seed], *, program: str = PLATFORM, **settings: object) -> Iterator[Subject]:
    """Runs a platform of its own with these functions and settings, and leaves nothing of it."""
    with (
        tempfile.TemporaryDirectory(prefix="cloudserve-bench-") as scratch,
        _running(Path(scratch), seeds, program, settings) as it,
    ):
        yield it


@contextlib.contextmanager
def _running(folder: Path, seeds: Sequence[Seed], program: str, settings: Mapping[str, object]) -> Iterator[Subject]:
    data_dir = folder / "data"
    keys = plant(data_dir, seeds)
    written = folder / "settings.json"
    values = {"data_dir": str(data_dir), "log_level": "warning", **_LIMITS_ON, **settings}
    written.write_text(json.dumps(values))
    told, tell = os.pipe()
    watch, lifeline = os.pipe()
    with (
        socket.create_server(("127.0.0.1", 0)) as api,
        socket.create_server(("127.0.0.1", 0), backlog=1024) as run,
        (folder / "log").open("w") as log,
    ):
        given = {"--platform": api.fileno(), "--run": run.fileno(), "--tell": tell, "--lifeline": watch}
        arguments = [text for name, number in given.items() for text in (name, str(number))]
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", program, "--settings", str(written), *arguments],
            env=environment() | {"PYTHONPATH": os.pathsep.join(sys.path)},
            pass_fds=list(given.values()),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        port = run.getsockname()[1]
    os.close(tell)
    os.close(watch)
    try:
        _await_ready(told, process, folder / "log")
        yield Subject(f"http://127.0.0.1:{port}", keys, process.pid, data_dir)
    finally:
        os.close(lifeline)
        os.close(told)
        _end(process)


def _await_ready(told: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        if select.select([told], [], [], 0.2)[0] and os.read(told, 100).startswith(b"ready"):
            return
    raise CommandError(f"The platform did not start. It says:\n{log.read_text()[-2000:]}", reason="no-platform")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
