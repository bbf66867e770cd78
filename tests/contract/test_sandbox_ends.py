"""Sandboxes, zygotes, hosts and workers that end: nothing of them is left, and nobody else is harmed."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from cloudserve.core.models.function import Runtime
from cloudserve.sandbox.abc import InvocationFailed
from tests.contract.sandboxes import (
    ECHO,
    SLOW,
    SPIN,
    Functions,
    children,
    children_of,
    descriptors,
    is_zombie,
    processes,
    read,
    running,
    until,
)

PATH = os.pathsep.join(path for path in sys.path if path)
HOST = """
import asyncio
from pathlib import Path
from tests.contract.sandboxes import Functions, children, make_sandbox

async def main():
    root = Path({root!r})
    sandbox = make_sandbox(root)
    await sandbox.start()
    functions = Functions(root, sandbox)
    call = asyncio.create_task(functions.call(functions.deploy({runtime!r}, {code!r}, timeout_seconds=60)))
    await asyncio.sleep(0.5)
    print(*children(), flush=True)
    await call

asyncio.run(main())
"""

DETACH = """
import ctypes, os, time
def handler(context):
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                ctypes.CDLL(None).prctl(15, b"{name}", 0, 0, 0)
                time.sleep(30)
            os._exit(0)
    time.sleep(60)
"""
RUN_AWAY = """
import ctypes, os, time
def handler(context):
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            ctypes.CDLL(None).prctl(15, b"{name}", 0, 0, 0)
            ends_at = time.monotonic() + 30
            while time.monotonic() < ends_at:
                try:
                    if os.fork() != 0:
                        os._exit(0)
                except OSError:
                    time.sleep(0.1)
            os._exit(0)
    time.sleep(0.2)
"""


def there_is(pid: int) -> bool:
    """Tells whether there is a process of this number, wherever it belongs to."""
    return Path(f"/proc/{pid}").exists()


async def test_a_worker_holds_no_descriptor_of_another(functions: Functions, runtime: Runtime) -> None:
    """Besides the standard streams a worker has its own socket, and what its runtime made itself."""
    code = {
        "python": "import os\ndef handler(context):\n"
        "    return sorted(os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if n != '3'\n"
        "                  and os.path.exists(f'/proc/self/fd/{n}'))\n",
        "node": "const fs = require('fs'); module.exports = () => fs.readdirSync('/proc/self/fd').map((n) => {\n"
        "try { return fs.readlinkSync(`/proc/self/fd/${n}`); } catch { return ''; } });",
    }
    deployment = functions.deploy(runtime, code[runtime])
    await asyncio.gather(*(functions.call(deployment) for _ in range(3)))
    links = orjson.loads(await read(await functions.call(deployment)))
    assert sum("socket:" in link for link in links) <= 1
    assert not [link for link in links if ".db" in link or "work" in link]


async def test_the_sandbox_refuses_calls_once_it_closes(tmp_path: Path) -> None:
    """Calls under way finish; new ones are refused with 503."""
    async with running(tmp_path) as functions:
        deployment = functions.deploy("python", SLOW["python"])
        await functions.call(deployment, path="/quick")
        under_way = asyncio.create_task(functions.call(deployment))
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(functions.sandbox.close(grace_seconds=5))
        await asyncio.sleep(0.05)
        with pytest.raises(InvocationFailed) as caught:
            await functions.call(deployment)
        assert (caught.value.status, caught.value.reason) == (503, "shutdown")
        assert (await under_way).status == 200
        await closing


async def test_nothing_is_left_of_a_sandbox(tmp_path: Path, runtime: Runtime) -> None:
    """After `close` there is no process, no descriptor and no folder more than before, whatever the calls did."""
    await asyncio.to_thread(int)  # the loop's own thread and wake-up descriptors exist before the count
    before = descriptors(), children()
    async with running(tmp_path) as functions:
        code = {
            "python": "import os, subprocess\ndef handler(context):\n    open('left', 'w').write('x')\n"
            "    if context.path == '/die': os._exit(1)\n"
            "    if context.path == '/child': subprocess.Popen(['sleep', '60'])\n"
            "    while context.path == '/spin': pass\n",
            "node": "const fs = require('fs'), { spawn } = require('child_process'); module.exports = (context) => {\n"
            "fs.writeFileSync('left', 'x'); if (context.path === '/die') process.exit(1);\n"
            "if (context.path === '/child') spawn('sleep', ['60'], { detached: true });\n"
            "while (context.path === '/spin'); };",
        }
        deployment = functions.deploy(runtime, code[runtime], timeout_seconds=0.3)
        paths = ["/", "/die", "/child", "/spin", "/"]
        await asyncio.gather(*(functions.call(deployment, path=path) for path in paths), return_exceptions=True)
        alive = set(children()) - set(before[1])
        await functions.sandbox.close(grace_seconds=1)
        assert not [pid for pid in alive if there_is(pid)]
        assert list((tmp_path / "work").iterdir()) == []
        assert (descriptors(), children()) == before
        await until(lambda: not processes("sleep\0" + "60"))


@pytest.mark.parametrize(
    "frames",
    [
        "b'garbage' * 100",
        "(2**32 - 1).to_bytes(4, 'big') + bytes(5)",
        "frame(3, b'[]')",
        "frame(3, b'{}') + frame(4, b'{}')",
        "frame(7, b'x', 1)",
        "frame(7, bytes(10), 1)",
        "frame(7, bytes([0, 200]) + bytes(4) + bytes([0, 0, 0, 3]) + b'a b', 1)",
        "frame(9, b'x' * 10, 1)",
        "frame(13, b'7', 1)",
        "frame(14, b'', 1)",
        "b''.join(frame(9, bytes(65536), 1) for _ in range(40))",
        "frame(8, bytes([0, 200]) + bytes(8), 1) + b''.join(frame(9, bytes(65536), 1) for _ in range(40))",
    ],
)
async def test_a_worker_that_speaks_the_protocol_itself_harms_its_own_call_alone(
    functions: Functions, frames: str
) -> None:
    """Whatever user code writes to its own socket ends in its own failure, within bounded memory."""
    code = (
        "import os, time\ndef frame(kind, payload=b'', call=0):\n"
        "    return len(payload).to_bytes(4, 'big') + bytes([kind]) + call.to_bytes(4, 'big') + payload\n"
        f"def handler(context):\n    os.set_blocking(3, True)\n    data = {frames}\n"
        "    while data: data = data[os.write(3, data):]\n    time.sleep(0.2)\n    return 'own'\n"
    )
    neighbour = functions.deploy("python", ECHO["python"])
    await functions.call(neighbour)
    deployment = functions.deploy("python", code)
    for _ in range(2):
        try:
            answer = await functions.call(deployment)
            await read(answer)
        except InvocationFailed as failed:
            assert failed.status in (500, 502)  # noqa: PT017 - some frames are harmless, and then the call is answered
    answer = await functions.call(neighbour)
    assert (answer.status, answer.outcome.cold) == (200, None)
    await until(lambda: functions.sandbox.stats().busy == 0)


@pytest.mark.parametrize("which", [0, -1], ids=["the first", "the last"])
async def test_a_process_behind_the_sandbox_that_dies_is_replaced(
    functions: Functions, runtime: Runtime, which: int
) -> None:
    """Calls under way fail as crashed when the zygote or its warden is killed; the next ones find new ones."""
    deployment = functions.deploy(runtime, SLOW[runtime])
    await functions.call(deployment, path="/quick")
    under_way = asyncio.create_task(functions.call(deployment))
    await asyncio.sleep(0.05)
    started = functions.sandbox._launcher._guard._process.pid  # type: ignore[attr-defined] # inside
    os.kill([started, *children_of(started)][which], signal.SIGKILL)
    with pytest.raises(InvocationFailed) as caught:
        await under_way
    assert caught.value.reason == "crash"
    assert (await functions.call(deployment, path="/quick")).status == 200


async def test_workers_die_with_their_host(tmp_path: Path, runtime: Runtime) -> None:
    """When the host is killed, its zygote and every worker end, even one that spins."""
    program = tmp_path / "host.py"
    program.write_text(HOST.format(runtime=runtime, code=SPIN[runtime], root=str(tmp_path)))
    host = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs meanwhile
        [sys.executable, str(program)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": PATH}
    )
    with host:
        assert host.stdout is not None
        pids = [int(pid) for pid in host.stdout.readline().split()]
        assert len(pids) >= 2
        host.kill()
    await until(lambda: not [pid for pid in pids if Path(f"/proc/{pid}/stat").exists() and not is_zombie(pid)])


async def test_what_workers_have_detached_dies_with_their_host(tmp_path: Path) -> None:
    """Also processes in sessions of their own, whose parents have ended."""
    name = "lost" + os.urandom(4).hex()
    program = tmp_path / "host.py"
    program.write_text(HOST.format(runtime="python", code=DETACH.format(name=name), root=str(tmp_path)))
    host = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs meanwhile
        [sys.executable, str(program)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": PATH}
    )
    with host:
        assert host.stdout is not None
        assert host.stdout.readline()
        assert running_as(name)
        host.kill()
    await until(lambda: not running_as(name))


async def test_a_sandbox_can_close_while_workers_start(tmp_path: Path, runtime: Runtime) -> None:
    """Whatever was being started is gone with the rest."""
    await asyncio.to_thread(int)
    before = descriptors(), children()
    for pause in (0.0, 0.001, 0.003, 0.01):
        async with running(tmp_path) as functions:
            deployment = functions.deploy(runtime, ECHO[runtime])
            calls = [asyncio.create_task(functions.call(deployment)) for _ in range(4)]
            await asyncio.sleep(pause)
            await functions.sandbox.close(grace_seconds=0)
            for outcome in await asyncio.gather(*calls, return_exceptions=True):
                assert not isinstance(outcome, InvocationFailed) or outcome.reason == "shutdown"
        assert (descriptors(), children()) == before


async def test_processes_that_run_away_are_gone_when_the_sandbox_has_closed(tmp_path: Path) -> None:
    """Each makes its successor and ends at once, in a session of its own, so that none is there when looked for."""
    name = "away" + os.urandom(4).hex()
    async with running(tmp_path) as functions:
        await functions.call(functions.deploy("python", RUN_AWAY.format(name=name), memory_mb=1024))
        assert any(running_as(name) for _ in range(50))
        await functions.sandbox.close(grace_seconds=0)
        assert not any(running_as(name) for _ in range(50))


def running_as(name: str) -> list[str]:
    """Returns the processes of a name."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and (folder / "comm").read_text().strip() == name:
                found.append(folder.name)
    return found
