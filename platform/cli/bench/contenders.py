"""What is compared: each contender runs one process that serves `hello`, on loopback alone, from a committed source."""

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from cloudserve.cli.bench import peers
from cloudserve.cli.bench.functions import HANDLERS, source
from cloudserve.cli.bench.load import Target
from cloudserve.cli.bench.processes import environment
from cloudserve.cli.bench.seeding import Seed
from cloudserve.cli.bench.subject import platform
from cloudserve.cli.output import CommandError

LIMIT: Final = "uvicorn"
"""The contender that the others' throughput is a share of."""

_START_SECONDS: Final = 30.0

Kind = Literal["limit", "peer", "cloudserve"]


@dataclass(frozen=True, slots=True)
class Contender:
    """One row of the comparison. `command` makes, from a port, the command line of what is no CloudServe function."""

    name: str
    title: str
    kind: Kind
    command: Callable[[int], Sequence[str]] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    seed: Callable[[], Seed] | None = None


def _framework(port: int, *, handler: str, more: Sequence[str] = ()) -> list[str]:
    program = str(peers.python() / "bin" / "functions-framework")
    return [
        program,
        "--target",
        "hello",
        "--source",
        str(HANDLERS / handler),
        "--host",
        "127.0.0.1",
        f"--port={port}",
        *more,
    ]


def _node_framework(port: int) -> list[str]:
    program = str(peers.node() / "@google-cloud" / "functions-framework" / "build" / "src" / "main.js")
    preload = ["--require", str(HANDLERS / "loopback.cjs")]
    return [
        "node",
        *preload,
        program,
        "--target=hello",
        f"--source={HANDLERS / 'framework_hello.cjs'}",
        f"--port={port}",
    ]


def _workerd(port: int) -> list[str]:
    program = next((peers.node() / "@cloudflare").glob("workerd-*/bin/workerd"), None)
    if program is None:
        raise CommandError(
            "There is no workerd for this machine. Remedy: leave it out with --contender.", reason="no-peer"
        )
    return [str(program), "serve", str(HANDLERS / "workerd.capnp"), f"--socket-addr=http=127.0.0.1:{port}"]


def _hello(name: str, runtime: Literal["python", "node"], handler: str, concurrency: int) -> Callable[[], Seed]:
    return lambda: Seed(name, runtime, source(handler), concurrency)


CONTENDERS: Final = (
    Contender(
        "uvicorn", "plain uvicorn", "limit", lambda port: [sys.executable, str(HANDLERS / "uvicorn_app.py"), str(port)]
    ),
    Contender(
        "node-http", "plain node http", "limit", lambda port: ["node", str(HANDLERS / "node_http.cjs"), str(port)]
    ),
    Contender("workerd", "workerd", "peer", _workerd),
    Contender(
        "framework-python",
        "Functions Framework, Python",
        "peer",
        lambda port: _framework(port, handler="framework_hello.py"),
    ),
    Contender(
        "framework-asgi",
        "Functions Framework, Python --asgi",
        "peer",
        lambda port: _framework(port, handler="framework_hello_async.py", more=["--asgi"]),
    ),
    Contender("framework-node", "Functions Framework, Node", "peer", _node_framework, {"NODE_ENV": "production"}),
    Contender("python", "CloudServe, Python", "cloudserve", seed=_hello("python", "python", "hello.py", 1)),
    Contender("node", "CloudServe, Node", "cloudserve", seed=_hello("node", "node", "hello.cjs", 1)),
    Contender(
        "python-16",
        "CloudServe, Python async, concurrency 16",
        "cloudserve",
        seed=_hello("python-16", "python", "hello_async.py", 16),
    ),
    Contender(
        "node-16",
        "CloudServe, Node async, concurrency 16",
        "cloudserve",
        seed=_hello("node-16", "node", "hello_async.cjs", 16),
    ),
)


@contextlib.contextmanager
def serving(names: Collection[str]) -> Iterator[dict[str, Target]]:
    """Runs the named contenders side by side, idle until they are called; CloudServe's functions share one platform."""
    chosen = [contender for contender in CONTENDERS if contender.name in names]
    seeds = [contender.seed() for contender in chosen if contender.seed is not None]
    with contextlib.ExitStack() as running, tempfile.TemporaryDirectory(prefix="cloudserve-bench-") as scratch:
        targets = {}
        subject = running.enter_context(platform(seeds)) if seeds else None
        for contender in chosen:
            if contender.command is not None:
                targets[contender.name] = running.enter_context(_process(contender, Path(scratch)))
            elif subject is not None:
                targets[contender.name] = subject.target(contender.name, title=contender.title)
        yield targets


@contextlib.contextmanager
def _process(contender: Contender, scratch: Path) -> Iterator[Target]:
    assert contender.command is not None  # noqa: S101 - the caller has looked
    port = _free_port()
    log = scratch / f"{contender.name}.log"
    with log.open("w") as output:
        process = subprocess.Popen(  # noqa: S603 - ours, or installed by its locked hash
            contender.command(port),
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
