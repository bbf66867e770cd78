"""Where functions may connect to, and what they and their owner learn of what is refused."""

import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cloudserve.core.models.function import Egress, Runtime
from cloudserve.sandbox.abc import Deployment
from tests.contract.sandboxes import Functions, read, running

CONNECT = {
    "python": "import socket\ndef handler(context):\n    try:\n"
    "        with socket.create_connection((context.body['host'], context.body['port']), timeout=10) as sock:\n"
    "            return sock.recv(100).decode()\n"
    "    except OSError as error:\n        return type(error).__name__ + ' ' + str(error.errno)\n",
    "node": "const net = require('net');\nmodule.exports = ({body}) => new Promise((done) => {\n"
    "const sock = net.connect(body.port, body.host);\n"
    "sock.on('data', (data) => { sock.destroy(); done(String(data)); });\n"
    "sock.on('error', (error) => done(error.code)); });",
}
REFUSED = {"python": "PermissionError 13", "node": "EACCES"}


@pytest.fixture
async def functions(tmp_path: Path) -> AsyncIterator[Functions]:
    """A sandbox whose operator permits 127.0.0.1."""
    async with running(tmp_path, egress_allow=("127.0.0.1",)) as made:
        yield made


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a server on this host that says hello."""
    server = socket.create_server(("127.0.0.1", 0))
    stopping = threading.Event()

    def serve() -> None:
        while not stopping.is_set():
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"hello")

    thread = threading.Thread(target=serve)
    thread.start()
    number: int = server.getsockname()[1]
    yield number
    stopping.set()
    socket.create_connection(("127.0.0.1", number)).close()
    thread.join()
    server.close()


def deploy(functions: Functions, runtime: Runtime, mode: str = "public", *allow: str) -> Deployment:
    """Returns a function that connects where it is told to."""
    return functions.deploy(
        runtime, CONNECT[runtime], egress=Egress.model_validate({"mode": mode, "allow": list(allow)})
    )


async def connect(functions: Functions, deployment: Deployment, host: str, port: int) -> tuple[str, list[str]]:
    """Returns what the function says, and the warnings in the call's log."""
    body = f'{{"host": "{host}", "port": {port}}}'.encode()
    answer = await functions.call(deployment, headers=((b"content-type", b"application/json"),), body=body)
    said = (await read(answer)).decode()
    return said, [entry.message for entry in answer.outcome.logs if entry.level == "warn"]


async def test_what_the_operator_permits_is_reached(functions: Functions, runtime: Runtime, port: int) -> None:
    """A server on this host, which no function reaches otherwise."""
    assert await connect(functions, deploy(functions, runtime), "127.0.0.1", port) == ("hello", [])


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("127.0.0.2", "loopback address"),
        ("169.254.169.254", "metadata address"),
        ("10.0.0.5", "private address"),
        ("::ffff:10.0.0.5", "private address"),
        ("fe80::1", "link-local address"),
    ],
)
async def test_a_refused_connection_fails_with_eacces_and_the_log_says_why(
    functions: Functions, runtime: Runtime, host: str, kind: str
) -> None:
    """The call's log names the address, the rule and the remedy."""
    said, warnings = await connect(functions, deploy(functions, runtime), host, 5432)
    assert said == REFUSED[runtime]
    shown = f"[{host}]:5432" if ":" in host and "." not in host else f"{host}:5432".removeprefix("::ffff:")
    assert len(warnings) == 1
    assert warnings[0].endswith(f"in the platform's settings: {shown}")
    assert f" refused: {kind}; allow it with `egress_allow`" in warnings[0]


async def test_mode_none_reaches_nothing(functions: Functions, runtime: Runtime, port: int) -> None:
    """Not even what the operator permits."""
    said, warnings = await connect(functions, deploy(functions, runtime, "none"), "127.0.0.1", port)
    assert said == REFUSED[runtime]
    assert warnings == [
        f"connection to 127.0.0.1:{port} refused: the function's egress is `none`; "
        f"allow it with `--egress public`, or `--egress 127.0.0.1:{port}`"
    ]


async def test_mode_list_reaches_what_is_on_the_list(functions: Functions, runtime: Runtime, port: int) -> None:
    """By address and port."""
    listed = deploy(functions, runtime, "list", f"127.0.0.1:{port}")
    assert await connect(functions, listed, "127.0.0.1", port) == ("hello", [])
    said, warnings = await connect(functions, listed, "8.8.8.8", 80)
    assert said == REFUSED[runtime]
    assert warnings == [
        "connection to 8.8.8.8:80 refused: not on the function's list; "
        "allow it with `--egress 8.8.8.8:80`, or its host name, added to the list"
    ]
