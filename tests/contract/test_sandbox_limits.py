"""Each limit ends in its own reason, with the figure and the limit, and afterwards the platform is as before."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cloudserve.core.confine import cgroups
from cloudserve.core.confine.bounds import Bounds
from cloudserve.core.confine.tiers import Tier
from cloudserve.core.models.function import Runtime
from cloudserve.sandbox.abc import Deployment, InvocationFailed, Outcome
from tests.contract.left import Left
from tests.contract.sandboxes import Functions, read, running, until

BOUNDS = Bounds(processes=32, open_files=128, disk_mb=4, inodes=256, log_kb=8)


class Hit(NamedTuple):
    """Code that reaches a limit, and what its caller is told."""

    python: str
    node: str
    reason: str
    message: str
    status: int = 502


HITS = {
    "memory": Hit(
        "held = []\n    while True: held.append(b'x' * 2 ** 20)",
        "const held = []; for (;;) held.push(Buffer.alloc(2 ** 20, 1));",
        "out-of-memory",
        r"Out of memory: peak (\d+) MB of 96 MB\.",
    ),
    "memory of a child": Hit(
        "import subprocess, sys\n    subprocess.run([sys.executable, '-c', "
        "'held = b\"x\" * (120 << 20)\\nimport time\\ntime.sleep(8)'])",
        "require('child_process').spawn(process.execPath, ['-e', "
        "'const held = Buffer.alloc(120 << 20, 1); setTimeout(() => held, 8000)']);"
        " return new Promise((done) => setTimeout(done, 8000));",
        "out-of-memory",
        r"Out of memory: peak (\d+) MB of 96 MB\.",
    ),
    "processes": Hit(
        "import subprocess\n    held = []\n    while True: held.append(subprocess.Popen(['/bin/sleep', '60']))",
        "const { spawn } = require('child_process'); return new Promise((done, fail) => { const more = () => {"
        " const child = spawn('/bin/sleep', ['60']); child.on('error', fail); child.on('spawn', more); }; more(); });",
        "processes",
        r"Too many processes and threads: (\d+) of 32\.",
    ),
    "threads": Hit(
        "import threading\n    wait = threading.Event().wait\n"
        "    while True: threading.Thread(target=wait, daemon=True).start()",
        "const { Worker } = require('worker_threads'); return new Promise((done, fail) => {"
        " for (let n = 0; n < 64; n++) new Worker('setInterval(() => {}, 999)', { eval: true }).on('error', fail); });",
        "processes",
        r"Too many processes and threads: (\d+) of 32\.",
    ),
    "open files": Hit(
        "held = []\n    while True: held.append(open('/dev/null'))",
        "const fs = require('fs'); for (;;) fs.openSync('/dev/null');",
        "open-files",
        r"Too many open files: 128 of 128\.",
    ),
    "disk": Hit(
        "import time\n    for n in range(30):\n"
        "        with open(f'file{n}', 'wb') as file: file.write(b'x' * 2 ** 20)\n"
        "    time.sleep(5)",
        "const fs = require('fs'); for (let n = 0; n < 30; n++) fs.writeFileSync(`file${n}`, Buffer.alloc(2 ** 20, 1));"
        " return new Promise((done) => setTimeout(done, 5000));",
        "disk-full",
        r"The disk is full: \d+ MB of 4 MB\.",
    ),
    "a file": Hit(
        "with open('file', 'wb') as file:\n        while True: file.write(b'x' * 2 ** 18)",
        "const fs = require('fs'); const file = fs.openSync('file', 'w');"
        " for (;;) fs.writeSync(file, Buffer.alloc(2 ** 18, 1));",
        "disk-full",
        r"(The disk is full|A file is too large): 4 MB of 4 MB\.",
    ),
    "inodes": Hit(
        "import time\n    for n in range(1000): open(f'file{n}', 'w').close()\n    time.sleep(5)",
        "const fs = require('fs'); for (let n = 0; n < 1000; n++) fs.writeFileSync(`file${n}`, '');"
        " return new Promise((done) => setTimeout(done, 5000));",
        "inodes",
        r"Too many files: \d+ of 256\.",
    ),
    "answer": Hit(
        "return b'x' * (65 * 2 ** 20)",
        "return Buffer.alloc(65 * 2 ** 20);",
        "response-too-large",
        r"The answer is too large: 65\.0 MB of 64 MB\.",
    ),
    "time": Hit(
        "import time\n    time.sleep(60)",
        "return new Promise(() => {});",
        "timeout",
        r"The call did not end within ([\d.]+) s\.",
        504,
    ),
}
"""The status that a call gets is 502 unless said otherwise."""

SECONDS = {"time": 0.5}
MEMORY_MB = {"threads": 512}
"""A thread of Node.js takes some for its own heap."""


@pytest.fixture
async def bounded(tmp_path: Path) -> AsyncIterator[Functions]:
    """Functions in a sandbox with narrow bounds."""
    async with running(tmp_path, bounds=BOUNDS) as functions:
        yield functions


def _deploy(functions: Functions, runtime: Runtime, name: str) -> Deployment:
    hit = HITS[name]
    code = {
        "python": f"def handler(context):\n    if context.path == '/well': return 'well'\n    {hit.python}\n",
        "node": f"module.exports = (context) => {{ if (context.path === '/well') return 'well'; {hit.node} }};",
    }
    return functions.deploy(
        runtime, code[runtime], memory_mb=MEMORY_MB.get(name, 96), timeout_seconds=SECONDS.get(name, 20)
    )


async def _failed(functions: Functions, deployment: Deployment, **parts: Any) -> InvocationFailed:
    with pytest.raises(InvocationFailed) as caught:
        await read(await functions.call(deployment, **parts))
    return caught.value


@pytest.mark.parametrize("name", HITS)
async def test_each_limit_has_a_reason_of_its_own_with_the_figure_and_the_limit(
    bounded: Functions, runtime: Runtime, name: str
) -> None:
    """The caller and the outcome are told the same, and the next call is answered."""
    hit = HITS[name]
    deployment = _deploy(bounded, runtime, name)
    failed = await _failed(bounded, deployment)
    assert (failed.reason, failed.status) == (hit.reason, hit.status), failed.message
    assert re.fullmatch(hit.message, failed.message), failed.message
    assert failed.outcome.limit is not None
    assert failed.outcome.limit in failed.message
    answer = await bounded.call(deployment, path="/well")
    assert await read(answer) == b"well"


@pytest.mark.parametrize("name", ["memory", "memory of a child", "processes", "threads"])
async def test_the_watch_stands_in_where_there_are_no_control_groups(
    tmp_path: Path, runtime: Runtime, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ordinary user and most containers can't make any."""

    def refuse() -> cgroups.Parent:
        raise cgroups.Unavailable("Not here.", "None.")

    monkeypatch.setattr(cgroups, "open_parent", refuse)
    async with running(tmp_path, bounds=BOUNDS) as functions:
        failed = await _failed(functions, _deploy(functions, runtime, name))
        assert (failed.reason, failed.status) == (HITS[name].reason, 502), failed.message
        assert re.fullmatch(HITS[name].message, failed.message), failed.message


async def test_memory_means_the_same_for_both_runtimes(bounded: Functions, runtime: Runtime) -> None:
    """What the user set is the function's to use, whatever the runtime itself needs."""
    code = {
        "python": "def handler(context):\n    held = b'x' * (80 << 20)\n    return str(len(held))\n",
        "node": "module.exports = () => { const held = Buffer.alloc(80 << 20, 1); return String(held.length); };",
    }
    answer = await bounded.call(bounded.deploy(runtime, code[runtime], memory_mb=96))
    assert await read(answer) == str(80 << 20).encode()


async def test_a_log_that_is_cut_says_so_in_its_last_line(bounded: Functions, runtime: Runtime) -> None:
    """With how much was printed, and how much is kept; also when the worker did not live to say it."""
    code = {
        "python": "import os\ndef handler(context):\n    for n in range(400): print('x' * 99)\n"
        "    if context.path == '/die': os._exit(1)\n",
        "node": "module.exports = (context) => { for (let n = 0; n < 400; n++) console.log('x'.repeat(99));\n"
        "if (context.path === '/die') return new Promise((done) => setTimeout(() => process.exit(1), 100)); };",
    }
    deployment = bounded.deploy(runtime, code[runtime])
    outcome = (await bounded.call(deployment)).outcome
    assert outcome.logs_truncated
    assert sum(len(entry.message) for entry in outcome.logs[:-1]) <= 8 * 1024
    assert outcome.logs[-1].message == "The log was cut: 39 KB printed, 8 KB kept."
    failed = await _failed(bounded, deployment, path="/die")
    assert re.fullmatch(r"The log was cut: \d+ KB printed, 8 KB kept\.", failed.outcome.logs[-1].message)


async def test_a_log_that_just_fits_is_not_cut(bounded: Functions, runtime: Runtime) -> None:
    """The bound itself may be reached."""
    code = {
        "python": "def handler(context):\n    for n in range(8): print('x' * 1023)\n",
        "node": "module.exports = () => { for (let n = 0; n < 8; n++) console.log('x'.repeat(1023)); };",
    }
    outcome: Outcome = (await bounded.call(bounded.deploy(runtime, code[runtime]))).outcome
    assert not outcome.logs_truncated
    assert len(outcome.logs) == 8


async def test_a_worker_that_is_busy_without_a_call_is_ended(bounded: Functions, runtime: Runtime) -> None:
    """The next call finds another one, and reads in its log why."""
    code = {
        "python": "import threading\ndef spin():\n    while True: pass\ndef handler(context):\n"
        "    if context.path == '/spin': threading.Thread(target=spin, daemon=True).start()\n    return 'ok'\n",
        "node": "module.exports = (context) => {\n"
        "if (context.path === '/spin') setTimeout(() => { for (;;); }, 50);\nreturn 'ok'; };",
    }
    deployment = bounded.deploy(runtime, code[runtime])
    await bounded.call(deployment, path="/spin")
    await until(lambda: bounded.sandbox.stats().workers == 0, seconds=60)
    answer = await bounded.call(deployment)
    assert answer.outcome.cold is not None
    assert re.fullmatch(
        r"The worker was ended: it was busy without a call, for [\d.]+ s of processor time of 1 s\.",
        answer.outcome.logs[0].message,
    )


async def test_after_each_limit_the_platform_is_as_before(tmp_path: Path, tier: Tier, runtime: Runtime) -> None:
    """Of the workers that ended no process, mount, control group, folder or descriptor is left."""
    async with running(tmp_path, bounds=BOUNDS) as functions:

        async def reach(name: str) -> None:
            await _failed(functions, _deploy(functions, runtime, name))
            await functions.sandbox.retire(functions.deployments[-1].function_id)
            await until(lambda: functions.sandbox.stats().workers == 0)

        for name in ("time", "threads"):  # what is kept, such as stock of their sizes, is there before the count
            await reach(name)
        before = await Left.settled(functions.sandbox, tmp_path)
        for name in HITS:
            await reach(name)
        assert await Left.settled(functions.sandbox, tmp_path, like=before) == before
