"""What is compared: contenders that each answer `hello` from a committed source, served by one process of theirs."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from cloudserve.cli.bench import peers
from cloudserve.cli.bench.functions import HANDLERS, source
from cloudserve.cli.bench.seeding import Seed
from cloudserve.cli.output import CommandError

LIMIT: Final = "uvicorn"
"""The contender that the others' throughput is a share of."""

Kind = Literal["limit", "peer", "cloudserve"]


@dataclass(frozen=True, slots=True)
class Contender:
    """One row of the comparison: a CloudServe function (`seed`), or else the command line that serves on a port."""

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
