"""Runs contenders: side by side on loopback, idle until they are called."""

import contextlib
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloudserve.cli.bench.contenders import Contender
from cloudserve.cli.bench.load import Target
from cloudserve.cli.bench.processes import environment
from cloudserve.cli.bench.subject import Subject, platform
from cloudserve.cli.output import CommandError

_START_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Served:
    """A contender that runs, and the platform behind it where it is a CloudServe function."""

    target: Target
    subject: Subject | None = None


@contextlib.contextmanager
def serving(contenders: Sequence[Contender]) -> Iterator[dict[str, Served]]:
    """Runs contenders, each in processes of its own: a CloudServe function has a platform to itself."""
    with contextlib.ExitStack() as running, tempfile.TemporaryDirectory(prefix="cloudserve-bench-") as scratch:
        served = {}
        for contender in contenders:
            if contender.seed is not None:
                subject = running.enter_context(platform([contender.seed()]))
                served[contender.name] = Served(subject.target(contender.name, title=contender.title), subject)
            elif contender.command is not None:
                target = running.enter_context(_process(contender, contender.command, Path(scratch)))
                served[contender.name] = Served(target)
        yield served


@contextlib.contextmanager
def _process(contender: Contender, command: Callable[[int], Sequence[str]], scratch: Path) -> Iterator[Target]:
    port = _free_port()
    log = scratch / f"{contender.name}.log"
    with log.open("w") as output:
        process = subprocess.Popen(  # noqa: S603 - ours, or installed by its locked hash
            command(port),
            env={**environment(), **contender.variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    target = Target(contender.title, f"http://127.0.0.1:{port}/", "hello", process.pid)
    try:
        _await_answer(target, process, log)
        yield target
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _await_answer(target: Target, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < until and process.poll() is None:
        try:
            with direct.open(target.url, timeout=5) as answer:
                if answer.read().decode() == target.body:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise CommandError(f"{target.name} did not start. It says:\n{log.read_text()[-2000:]}", reason="no-contender")
