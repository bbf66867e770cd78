"""What every sandbox guarantees (`sandbox/abc.py`), for both runtimes."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from cloudserve.core.models.function import Runtime
from cloudserve.sandbox.abc import InvocationFailed, Sandbox
from cloudserve.sandbox.pool import LocalSandbox
from tests.contract.sandboxes import JSON, Functions, children, descriptors, is_zombie, processes, read, until

MEBIBYTE = 1024 * 1024

ECHO = {
    "python": "def handler(context):\n    print('seen')\n    return {'body': context.body, 'path': context['path']}\n",
    "node": "module.exports = (context) => { console.log('seen'); return {body: context.body, path: context.path}; };",
}


SLOW = {
    "python": "import time\ndef handler(context):\n    time.sleep(0 if context.path == '/quick' else 0.5)\n"
    "    return 'ok'\n",
    "node": "module.exports = (context) => context.path === '/quick' ? 'ok'\n"
    ": new Promise((done) => setTimeout(() => done('ok'), 500));",
}
SPIN = {
    "python": "def handler(context):\n    while True: pass\n",
    "node": "module.exports = () => { for (;;); };",
}
PATH = os.pathsep.join(path for path in sys.path if path)
HOST = """
import asyncio
from pathlib import Path
from tests.contract.sandboxes import Functions, children
from tests.contract.test_sandbox import make_sandbox

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


def make_sandbox(root: Path, *, max_workers: int = 16, idle_seconds: float = 60, queue_seconds: float = 5) -> Sandbox:
    """Returns a sandbox of this host."""
    return LocalSandbox(
        work_dir=root / "work",
        max_workers=max_workers,
        idle_seconds=idle_seconds,
        queue_seconds=queue_seconds,
        max_response_bytes=64 * MEBIBYTE,
    )


@pytest.fixture(params=["python", "node"])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    name: Runtime = request.param
    return name


@asynccontextmanager
async def running(root: Path, **changes: Any) -> AsyncIterator[Functions]:
    """Runs a sandbox and closes it."""
    sandbox = make_sandbox(root, **changes)
    await sandbox.start()
    try:
        yield Functions(root, sandbox)
    finally:
        await sandbox.close(grace_seconds=1)


@pytest.fixture
async def functions(tmp_path: Path) -> AsyncIterator[Functions]:
    async with running(tmp_path) as functions:
        yield functions


async def test_a_call_is_answered_with_its_outcome(functions: Functions, runtime: Runtime) -> None:
    """A call gives status, headers and body, and an outcome with the time, the memory and the lines it printed."""
    answer = await functions.call(functions.deploy(runtime, ECHO[runtime]), path="/a/b", headers=JSON, body=b'{"n": 1}')
    assert answer.status == 200
    assert dict(answer.headers) == {b"content-type": b"application/json"}
    assert orjson.loads(await read(answer)) == {"body": {"n": 1}, "path": "/a/b"}
    outcome = answer.outcome
    assert outcome.status == "success"
    assert outcome.duration_ms > 0
    assert outcome.memory_mb > 0
    assert [(entry.level, entry.message) for entry in outcome.logs] == [("info", "seen")]


async def test_the_first_call_of_a_worker_tells_what_its_start_cost(functions: Functions, runtime: Runtime) -> None:
    """A cold call carries the report of its start, a warm one none."""
    deployment = functions.deploy(runtime, ECHO[runtime])
    cold = (await functions.call(deployment)).outcome.cold
    assert cold is not None
    assert cold.spawn_ms >= 0
    assert cold.load_ms > 0
    assert (await functions.call(deployment)).outcome.cold is None


async def test_a_raised_exception_is_a_500_with_its_stack(functions: Functions, runtime: Runtime) -> None:
    """An exception fails its call alone: 500, and for the owner the message and the lines of their own code."""
    code = {
        "python": "def handler(context):\n    return {}[context.path]\n",
        "node": "module.exports = (context) => {\n  null[context.path];\n};",
    }
    deployment = functions.deploy(runtime, code[runtime])
    with pytest.raises(InvocationFailed) as caught:
        await functions.call(deployment, path="/missing")
    failed = caught.value
    assert (failed.status, failed.reason, failed.component) == (500, "exception", "function")
    assert "missing" in failed.message
    assert failed.outcome.status == "error"
    stack = failed.outcome.error or ""
    assert {"python": 'File "main.py", line 2', "node": "(index.cjs:2"}[runtime] in stack
    assert str(functions.root) not in stack
    assert "node:" not in stack
    assert functions.sandbox.stats().workers == 1


async def test_a_call_that_takes_too_long_is_a_504(functions: Functions, runtime: Runtime) -> None:
    """A spinning handler is ended with its worker; the next call gets a new one."""
    code = {
        "python": "def handler(context):\n    print('begun')\n    while context.path == '/spin': pass\n    return 1\n",
        "node": "module.exports = (context) => { console.log('begun'); while (context.path === '/spin'); return 1; };",
    }
    deployment = functions.deploy(runtime, code[runtime], timeout_seconds=0.3)
    with pytest.raises(InvocationFailed) as caught:
        await functions.call(deployment, path="/spin")
    assert (caught.value.status, caught.value.reason) == (504, "timeout")
    assert caught.value.outcome.status == "timeout"
    assert caught.value.outcome.limit == "0.3 s"
    assert [entry.message for entry in caught.value.outcome.logs] == ["begun"]
    assert await read(await functions.call(deployment)) == b"1"


async def test_calls_at_once_get_workers_of_their_own(functions: Functions, runtime: Runtime) -> None:
    """A burst on a cold function starts as many workers as its calls need, each counted once."""
    code = {
        "python": "import os, time\ndef handler(context):\n    time.sleep(1.5)\n    return str(os.getpid())\n",
        "node": "module.exports = () => new Promise((done) => setTimeout(() => done(String(process.pid)), 1500));",
    }
    deployment = functions.deploy(runtime, code[runtime], concurrency=2)
    answers = await asyncio.gather(*(functions.call(deployment) for _ in range(8)))
    assert len({answer.body for answer in answers}) == 4
    assert functions.sandbox.stats().starts == 4


async def test_code_that_does_not_load_is_a_500(functions: Functions, runtime: Runtime) -> None:
    """Code that fails while it is loaded fails the calls that wait for it, and says where."""
    code = {
        "python": "import json\nraise ValueError('no luck')\n",
        "node": "'use strict';\nthrow new Error('no luck');\n",
    }
    deployment = functions.deploy(runtime, code[runtime])
    with pytest.raises(InvocationFailed) as caught:
        await functions.call(deployment)
    assert (caught.value.status, caught.value.reason) == (500, "load-failed")
    assert "no luck" in caught.value.message
    assert {"python": 'File "main.py", line 2', "node": "index.cjs:2"}[runtime] in (caught.value.outcome.error or "")


async def test_code_that_fails_to_load_again_and_again_is_not_tried_for_every_call(
    functions: Functions, runtime: Runtime
) -> None:
    """After a second failure the next tries wait; calls meanwhile fail at once with what was found."""
    deployment = functions.deploy(runtime, {"python": "1/0\n", "node": "null.x;\n"}[runtime])
    for _ in range(12):
        with pytest.raises(InvocationFailed) as caught:
            await functions.call(deployment)
        assert caught.value.reason == "load-failed"
    assert functions.sandbox.stats().starts < 8


async def test_code_without_a_handler_is_told_so(functions: Functions, runtime: Runtime) -> None:
    """A module that exports nothing to call names what it should export."""
    deployment = functions.deploy(runtime, {"python": "x = 1\n", "node": "const x = 1;\n"}[runtime])
    with pytest.raises(InvocationFailed) as caught:
        await functions.call(deployment)
    assert (caught.value.status, caught.value.reason) == (500, "no-handler")
    assert "handler" in caught.value.message


async def test_a_value_that_is_no_answer_is_a_bad_response(functions: Functions, runtime: Runtime) -> None:
    """What can't be written as JSON fails with a sentence that says what it is."""
    code = {
        "python": "def handler(context):\n    return {'at': object()}\n",
        "node": "module.exports = () => ({ at: 10n });",
    }
    with pytest.raises(InvocationFailed) as caught:
        await functions.call(functions.deploy(runtime, code[runtime]))
    assert (caught.value.status, caught.value.reason) == (502, "bad-response")
    assert {"python": "object", "node": "BigInt"}[runtime] in caught.value.message


@pytest.mark.parametrize("header", ["a\\r\\nset-cookie: x", "a\\u0000b"])
async def test_a_header_can_carry_no_second_header(functions: Functions, runtime: Runtime, header: str) -> None:
    """Control characters in a header are refused, whoever wrote them."""
    code = {
        "python": f'def handler(context):\n    return {{"statusCode": 200, "headers": {{"x-a": "{header}"}}}}\n',
        "node": f'module.exports = () => ({{ statusCode: 200, headers: {{ "x-a": "{header}" }} }});',
    }
    with pytest.raises(InvocationFailed) as caught:
        await functions.call(functions.deploy(runtime, code[runtime]))
    assert caught.value.reason == "bad-response"


async def test_a_process_that_ends_is_a_502_that_says_how(functions: Functions, runtime: Runtime) -> None:
    """An exit code or a signal ends the call, and the next one gets a new worker."""
    code = {
        "python": "import os\ndef handler(context):\n    if context.path == '/exit': os._exit(3)\n"
        "    if context.path == '/kill': os.kill(os.getpid(), 11)\n    return 'ok'\n",
        "node": "module.exports = (context) => { if (context.path === '/exit') process.exit(3);\n"
        "if (context.path === '/kill') process.kill(process.pid, 'SIGSEGV'); return 'ok'; };",
    }
    deployment = functions.deploy(runtime, code[runtime])
    with pytest.raises(InvocationFailed) as caught:
        await functions.call(deployment, path="/exit")
    assert (caught.value.status, caught.value.reason) == (502, "crash")
    assert "exit code 3" in caught.value.message
    with pytest.raises(InvocationFailed) as caught:
        await functions.call(deployment, path="/kill")
    assert caught.value.outcome.signal == 11
    assert "SIGSEGV" in caught.value.message
    assert await read(await functions.call(deployment)) == b"ok"


async def test_too_much_memory_is_a_502_with_peak_and_limit(functions: Functions, runtime: Runtime) -> None:
    """A worker that wants more memory than its limit is out of memory, not merely gone."""
    code = {
        "python": "def handler(context):\n    kept = []\n    while True: kept.append(b'x' * 1048576)\n",
        "node": "module.exports = () => { const kept = []; for (;;) kept.push(new Array(100000).fill(kept.length)); };",
    }
    deployment = functions.deploy(runtime, code[runtime], memory_mb=96)
    with pytest.raises(InvocationFailed) as caught:
        await functions.call(deployment)
    assert (caught.value.status, caught.value.reason) == (502, "out-of-memory")
    assert caught.value.outcome.limit == "96 MB"
    assert "of 96 MB" in caught.value.message
    assert caught.value.outcome.memory_mb > 48


async def test_memory_beside_the_heap_counts_too(functions: Functions) -> None:
    """Node's buffers are not in V8's heap, and are bounded all the same."""
    code = "module.exports = async () => { const kept = []; for (;;) { kept.push(Buffer.alloc(1048576, 1));\n"
    code += "await new Promise(setImmediate); } };"
    with pytest.raises(InvocationFailed) as caught:
        await functions.call(functions.deploy("node", code, memory_mb=96))
    assert caught.value.reason == "out-of-memory"


async def test_environment_and_secrets_are_the_functions_own(
    functions: Functions, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker sees its version's environment, nothing of the platform's, and no other function's."""
    monkeypatch.setenv("PLATFORM_SECRET", "canary")
    code = {
        "python": "import os\nAT_LOAD = os.environ.get('TOKEN')\n"
        "def handler(context):\n    return {'load': AT_LOAD, 'all': dict(os.environ), 'env': context.env['TOKEN']}\n",
        "node": "const load = process.env.TOKEN;\n"
        "module.exports = (context) => ({ load, all: { ...process.env }, env: context.env.TOKEN });",
    }
    one = functions.deploy(runtime, code[runtime], environment={"TOKEN": "first"})
    two = functions.deploy(runtime, code[runtime], environment={"TOKEN": "second"})
    for deployment, token in ((one, "first"), (two, "second")):
        seen = orjson.loads(await read(await functions.call(deployment)))
        assert (seen["load"], seen["env"], seen["all"]["TOKEN"]) == (token, token, token)
        assert set(seen["all"]) <= {"PATH", "HOME", "TMPDIR", "LANG", "TOKEN", "LC_CTYPE", "PWD"}
    assert "first" not in repr(one)


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


async def test_lines_keep_their_level_and_their_call(functions: Functions, runtime: Runtime) -> None:
    """Calls that run at once in one worker don't mix their lines, and each line keeps its level."""
    code = {
        "python": "import asyncio, logging, sys\nasync def handler(context):\n    name = context.path\n"
        "    print('out', name)\n    await asyncio.sleep(0.05)\n    print('err', name, file=sys.stderr)\n"
        "    logging.warning('warn %s', name)\n    await asyncio.sleep(0.05)\n    print('open', name, end='')\n",
        "node": "module.exports = async (context) => { const name = context.path; console.log('out', name);\n"
        "await new Promise((r) => setTimeout(r, 50)); console.error('err', name); console.warn(`warn ${name}`);\n"
        "await new Promise((r) => setTimeout(r, 50)); process.stdout.write(`open ${name}`); };",
    }
    deployment = functions.deploy(runtime, code[runtime], concurrency=8)
    await functions.call(deployment)
    answers = await asyncio.gather(*(functions.call(deployment, path=f"/{n}") for n in range(8)))
    for number, answer in enumerate(answers):
        lines = [(entry.level, entry.message) for entry in answer.outcome.logs]
        name = f"/{number}"
        warning = ("warn", f"WARNING:root:warn {name}") if runtime == "python" else ("warn", f"warn {name}")
        assert lines == [("info", f"out {name}"), ("error", f"err {name}"), warning, ("info", f"open {name}")]
    assert functions.sandbox.stats().starts == 1


async def test_a_flood_of_lines_is_cut_off(functions: Functions, runtime: Runtime) -> None:
    """A call keeps 256 KB of lines, and says that the rest is missing."""
    code = {
        "python": "def handler(context):\n    for n in range(40_000): print('x' * 100)\n    return 'ok'\n",
        "node": "module.exports = () => { for (let n = 0; n < 40000; n += 1) console.log('x'.repeat(100)); };",
    }
    outcome = (await functions.call(functions.deploy(runtime, code[runtime]))).outcome
    assert outcome.logs_truncated
    assert 200_000 < sum(len(entry.message) for entry in outcome.logs) < 270_000


async def test_a_flood_of_empty_lines_is_cut_off_too(functions: Functions, runtime: Runtime) -> None:
    """The record of a line takes room however short it is: a hundred thousand of them would hold up all calls."""
    code = {
        "python": "def handler(context):\n    for n in range(20_000): print()\n    return 'ok'\n",
        "node": "module.exports = () => { for (let n = 0; n < 20000; n += 1) console.log(''); };",
    }
    outcome = (await functions.call(functions.deploy(runtime, code[runtime]))).outcome
    assert outcome.logs_truncated
    assert 3000 < len(outcome.logs) < 6000


@pytest.mark.parametrize("moment", ["nan", "inf", "-1", "1e300"])
async def test_no_worker_hides_a_call_behind_an_impossible_time(functions: Functions, moment: str) -> None:
    """A line that claims a moment which no record can hold gets the present one."""
    code = (
        "import os, socket, struct\ndef handler(context):\n"
        "    wire = socket.socket(fileno=os.dup(3))\n"
        f"    line = struct.pack('>Bd', 1, float('{moment}')) + b'odd'\n"
        "    for call in range(1, 5): wire.sendall(struct.pack('>IBI', len(line), 14, call) + line)\n"
    )
    began = time.time()
    outcome = (await functions.call(functions.deploy("python", code))).outcome
    assert [began - 1 <= entry.time <= time.time() + 1 for entry in outcome.logs] == [True]


async def test_what_child_processes_print_is_caught_too(functions: Functions, runtime: Runtime) -> None:
    """Text that goes past the language's own streams reaches the call's log."""
    code = {
        "python": "import subprocess\ndef handler(context):\n    subprocess.run(['echo', 'from below'], check=True)\n"
        "    import time; time.sleep(0.05)\n",
        "node": "const { execFileSync } = require('child_process'); module.exports = async () => {\n"
        "execFileSync('echo', ['from below'], { stdio: 'inherit' }); await new Promise((r) => setTimeout(r, 50)); };",
    }
    outcome = (await functions.call(functions.deploy(runtime, code[runtime]))).outcome
    assert [entry.message for entry in outcome.logs] == ["from below"]


async def test_an_answer_of_many_megabytes_streams_at_the_readers_pace(functions: Functions, runtime: Runtime) -> None:
    """A generator runs no further ahead of its reader than the window; nobody holds the whole of it."""
    code = {
        "python": "made = 0\ndef handler(context):\n    global made\n    if context.path == '/made': return made\n"
        "    def parts():\n        global made\n        for n in range(640):\n            made += 1\n"
        "            yield bytes([n % 256]) * 65536\n    return parts()\n",
        "node": "let made = 0; module.exports = (context) => { if (context.path === '/made') return made;\n"
        "return (async function* parts() { for (let n = 0; n < 640; n += 1) {\n"
        "made += 1; yield Buffer.alloc(65536, n); } })(); };",
    }
    deployment = functions.deploy(runtime, code[runtime], concurrency=2)
    answer = await functions.call(deployment)
    assert answer.body is None
    with pytest.raises(RuntimeError):
        _ = answer.outcome
    parts = answer.parts()
    size = len(await anext(parts))
    await asyncio.sleep(0.2)
    assert int(await read(await functions.call(deployment, path="/made"))) <= 40
    async for part in parts:
        size += len(part)
    assert size == 640 * 65536
    assert answer.outcome.status == "success"
    assert answer.outcome.memory_mb < 60


async def test_a_large_value_streams_with_its_length(functions: Functions, runtime: Runtime) -> None:
    """A value of many megabytes needs no generator; its length is known from the start."""
    code = {
        "python": "def handler(context):\n    return b'ab' * 5_000_000\n",
        "node": "module.exports = () => Buffer.alloc(10_000_000, 'ab');",
    }
    answer = await functions.call(functions.deploy(runtime, code[runtime]))
    assert dict(answer.headers)[b"content-length"] == b"10000000"
    assert await read(answer) == b"ab" * 5_000_000


async def test_a_body_of_many_megabytes_may_come_in_parts(functions: Functions, runtime: Runtime) -> None:
    """A streamed body arrives whole, and is taken from the caller no faster than the worker takes it."""
    code = {
        "python": "import hashlib\ndef handler(context):\n    return hashlib.sha256(context.rawBody).hexdigest()\n",
        "node": "const { createHash } = require('crypto');\n"
        "module.exports = (context) => createHash('sha256').update(context.rawBody).digest('hex');",
    }

    async def body() -> AsyncIterator[bytes]:
        for number in range(100):
            yield bytes([number]) * 100_000

    whole = b"".join([part async for part in body()])
    deployment = functions.deploy(runtime, code[runtime])
    for content in (body(), whole):
        answer = await functions.call(deployment, body=content)
        assert await read(answer) == hashlib.sha256(whole).hexdigest().encode()


async def test_a_body_that_breaks_off_fails_its_call_alone(functions: Functions, runtime: Runtime) -> None:
    """When the caller's stream fails the call ends as a 400, and the worker serves on."""

    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        raise ConnectionResetError("gone")

    deployment = functions.deploy(runtime, ECHO[runtime])
    with pytest.raises(InvocationFailed) as caught:
        await functions.call(deployment, body=body())
    assert caught.value.status == 400
    await until(lambda: functions.sandbox.stats().busy == 0)
    assert (await functions.call(deployment)).status == 200
    assert functions.sandbox.stats().starts == 1


async def test_an_answer_may_not_be_larger_than_the_sandbox_allows(functions: Functions, runtime: Runtime) -> None:
    """A known length is refused before anything is answered; a stream that grows too long breaks."""
    code = {
        "python": "def handler(context):\n    if context.path == '/known': return b'x' * (65 * 1024 * 1024)\n"
        "    return (b'x' * 65536 for _ in range(1040))\n",
        "node": "module.exports = (context) => context.path === '/known' ? Buffer.alloc(65 * 1024 * 1024)\n"
        ": (function* () { for (let n = 0; n < 1040; n += 1) yield Buffer.alloc(65536); })();",
    }
    deployment = functions.deploy(runtime, code[runtime], memory_mb=512)
    with pytest.raises(InvocationFailed) as caught:
        await functions.call(deployment, path="/known")
    assert (caught.value.status, caught.value.reason) == (502, "response-too-large")
    answer = await functions.call(deployment)
    with pytest.raises(InvocationFailed) as caught:
        await read(answer)
    assert caught.value.reason == "response-too-large"
    assert answer.outcome.limit == "64 MB"


async def test_a_stream_that_breaks_raises_from_its_parts(functions: Functions, runtime: Runtime) -> None:
    """What came before the failure is delivered; then the failure is raised."""
    code = {
        "python": "def handler(context):\n    yield 'one'\n    raise ValueError('broken')\n",
        "node": "module.exports = async function* () { yield 'one'; throw new Error('broken'); };",
    }
    answer = await functions.call(functions.deploy(runtime, code[runtime]))
    parts = answer.parts()
    assert await anext(parts) == b"one"
    with pytest.raises(InvocationFailed) as caught:
        await anext(parts)
    assert caught.value.reason == "exception"
    assert answer.outcome.error is not None
    assert "broken" in answer.outcome.error


async def test_ending_a_stream_early_stops_its_generator(functions: Functions, runtime: Runtime) -> None:
    """A reader that goes away cancels the call; a generator that waits for it ends and its worker lives on."""
    code = {
        "python": "def handler(context):\n    def parts():\n        while True: yield b'x' * 65536\n"
        "    return parts() if context.path == '/stream' else 'ok'\n",
        "node": "module.exports = (context) => context.path === '/stream'\n"
        "? (async function* () { for (;;) yield Buffer.alloc(65536); })() : 'ok';",
    }
    deployment = functions.deploy(runtime, code[runtime])
    answer = await functions.call(deployment, path="/stream")
    parts = answer.parts()
    await anext(parts)
    await parts.aclose()  # type: ignore[attr-defined] # it is an async generator
    assert answer.outcome.status == "error"
    await until(lambda: functions.sandbox.stats().busy == 0)
    assert await read(await functions.call(deployment)) == b"ok"
    assert functions.sandbox.stats().starts == 1


async def test_a_cancelled_call_that_does_not_stop_costs_its_worker(functions: Functions, runtime: Runtime) -> None:
    """When the caller gives up a call that spins, nothing of it goes on."""
    code = {
        "python": "def handler(context):\n    while context.path == '/spin': pass\n    return 'ok'\n",
        "node": "module.exports = (context) => { while (context.path === '/spin'); return 'ok'; };",
    }
    deployment = functions.deploy(runtime, code[runtime])
    await functions.call(deployment)
    task = asyncio.create_task(functions.call(deployment, path="/spin"))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: functions.sandbox.stats().workers == 0)
    assert await read(await functions.call(deployment)) == b"ok"


async def test_a_cancelled_async_call_spares_its_worker(functions: Functions) -> None:
    """An asynchronous handler is cancelled at its next await, and its neighbours don't notice."""
    code = (
        "import asyncio\nasync def handler(context):\n    await asyncio.sleep(30 if context.path == '/long' else 0)\n"
    )
    deployment = functions.deploy("python", code, concurrency=2)
    await functions.call(deployment)
    task = asyncio.create_task(functions.call(deployment, path="/long"))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: functions.sandbox.stats().busy == 0)
    assert (await functions.call(deployment)).status == 204
    assert functions.sandbox.stats().starts == 1


@pytest.mark.parametrize(
    ("bound", "status"), [("max_workers=1", 429), ("the host's cap", 503)], ids=["the function's", "the host's"]
)
async def test_a_call_that_waits_in_vain_is_told_whose_bound_it_was(tmp_path: Path, bound: str, status: int) -> None:
    """The function's own limit is a 429, the host's a 503, both from the queue and with a Retry-After."""
    async with running(tmp_path, queue_seconds=0.1, max_workers=1 if status == 503 else 16) as functions:
        deployment = functions.deploy("python", SLOW["python"], max_workers=1 if status == 429 else 32)
        first = asyncio.create_task(functions.call(deployment))
        await until(lambda: functions.sandbox.stats().busy == 1)
        with pytest.raises(InvocationFailed) as caught:
            await functions.call(deployment)
        assert (caught.value.status, caught.value.reason, caught.value.component) == (status, "overloaded", "queue")
        assert caught.value.retry_after is not None
        assert (await first).status == 200


async def test_idle_workers_give_way_under_the_hosts_cap(tmp_path: Path, runtime: Runtime) -> None:
    """Where the host is full, the worker that was idle longest ends for a function that needs its place."""
    async with running(tmp_path, max_workers=2) as functions:
        first, second, third = (functions.deploy(runtime, ECHO[runtime]) for _ in range(3))
        for deployment in (first, second, third):
            assert (await functions.call(deployment)).status == 200
        assert (await functions.call(second)).outcome.cold is None
        assert (await functions.call(first)).outcome.cold is not None


async def test_a_function_waits_for_the_place_of_a_busy_one(tmp_path: Path) -> None:
    """Under a cap of one worker two functions take turns; neither starves."""
    async with running(tmp_path, max_workers=1, queue_seconds=20) as functions:
        one, two = (functions.deploy("python", ECHO["python"]) for _ in range(2))
        answers = await asyncio.gather(*(functions.call(deployment) for deployment in (one, two) * 10))
        assert {answer.status for answer in answers} == {200}


async def test_idle_workers_end_but_for_the_warm_minimum(tmp_path: Path, runtime: Runtime) -> None:
    """A worker without calls ends after `idle_seconds`; `min_warm` of a warmed version stay."""
    async with running(tmp_path, idle_seconds=0.2) as functions:
        await functions.call(functions.deploy(runtime, ECHO[runtime]))
        await functions.sandbox.warm(functions.deploy(runtime, ECHO[runtime], min_warm=1))
        assert functions.sandbox.stats().workers == 2
        await until(lambda: functions.sandbox.stats().workers == 1)
        await asyncio.sleep(0.5)
        assert functions.sandbox.stats().workers == 1


async def test_retired_workers_finish_their_calls_and_end(functions: Functions, runtime: Runtime) -> None:
    """A new version takes the new calls at once; the old one's workers end with their last call."""
    old = functions.deploy(runtime, SLOW[runtime], function_id="fun_a")
    new = functions.deploy(runtime, ECHO[runtime], function_id="fun_a")
    await functions.call(old, path="/quick")
    under_way = asyncio.create_task(functions.call(old))
    await asyncio.sleep(0.05)
    await functions.sandbox.retire("fun_a", keep_version=new.version_id)
    assert (await functions.call(new)).status == 200
    assert (await under_way).status == 200
    await until(lambda: functions.sandbox.stats().workers == 1)


async def test_a_changed_secret_is_served_by_new_workers(functions: Functions, runtime: Runtime) -> None:
    """The same version with another environment gets workers of its own."""
    code = {
        "python": "import os\ndef handler(context):\n    return os.environ['TOKEN']\n",
        "node": "module.exports = () => process.env.TOKEN;",
    }
    before = functions.deploy(runtime, code[runtime], environment={"TOKEN": "old"})
    after = replace(before, environment={"TOKEN": "new"})
    assert await read(await functions.call(before)) == b"old"
    assert await read(await functions.call(after)) == b"new"
    await until(lambda: functions.sandbox.stats().workers == 1)


async def test_a_warmed_function_starts_nothing_for_its_first_call(functions: Functions, runtime: Runtime) -> None:
    """After `warm` a worker stands ready, and the warm minimum is kept when one dies."""
    deployment = functions.deploy(
        runtime,
        {
            "python": "import os\ndef handler(context):\n    if context.path == '/die': os._exit(1)\n    return 'ok'\n",
            "node": "module.exports = (context) => { if (context.path === '/die') process.exit(1); return 'ok'; };",
        }[runtime],
        min_warm=2,
    )
    await functions.sandbox.warm(deployment)
    await until(lambda: functions.sandbox.stats().workers == 2)
    answer = await functions.call(deployment)
    assert answer.outcome.cold is None
    with pytest.raises(InvocationFailed):
        await functions.call(deployment, path="/die")
    await until(lambda: functions.sandbox.stats().starts == 3)


async def test_a_function_whose_code_does_not_load_can_not_be_warmed(functions: Functions, runtime: Runtime) -> None:
    """Whoever warms it is told what its callers will be."""
    broken = {"python": "raise ValueError('broken')\n", "node": "throw new Error('broken');"}[runtime]
    with pytest.raises(InvocationFailed, match="broken") as failed:
        await functions.sandbox.warm(functions.deploy(runtime, broken))
    assert (failed.value.status, failed.value.reason) == (500, "load-failed")


async def test_a_call_outside_its_time_in_a_shared_worker_spares_the_others(functions: Functions) -> None:
    """One asynchronous call that times out ends alone."""
    code = "import asyncio\nasync def handler(context):\n    await asyncio.sleep(float(context.path[1:]))\n"
    deployment = functions.deploy("python", code, concurrency=4, timeout_seconds=0.5)
    await functions.call(deployment, path="/0")
    late = asyncio.create_task(functions.call(deployment, path="/9"))
    await asyncio.sleep(0.3)
    assert (await functions.call(deployment, path="/0.4")).status == 204
    with pytest.raises(InvocationFailed) as caught:
        await late
    assert caught.value.reason == "timeout"
    assert functions.sandbox.stats().starts == 1


async def test_an_error_that_nobody_can_catch_fails_its_call(functions: Functions) -> None:
    """In Node, what a timer throws fails the call that set it, and the worker ends, as its state is unknown."""
    code = "module.exports = () => new Promise(() => setTimeout(() => { throw new Error('late'); }, 10));"
    with pytest.raises(InvocationFailed) as caught:
        await functions.call(functions.deploy("node", code))
    assert (caught.value.status, caught.value.reason) == (500, "exception")
    assert "late" in caught.value.message


async def test_a_call_after_an_error_that_nobody_can_catch_is_served(functions: Functions) -> None:
    """The worker that ends because of such an error takes no other call with it."""
    code = "module.exports = (c) => c.path === '/' ? 'well' : new Promise(() => setImmediate(() => { throw 1; }));"
    deployment = functions.deploy("node", code)
    for _ in range(5):
        with pytest.raises(InvocationFailed):
            await functions.call(deployment, path="/throws")
        assert (await functions.call(deployment)).body == b"well"


async def test_an_error_that_is_printed_is_told_as_one_that_is_raised(functions: Functions) -> None:
    """In Node, the stack of a printed error names the user's files and frames alone, its own fields kept."""
    code = "module.exports = () => {\nconsole.error(Object.assign(new Error('odd'), { code: 'E1' }));\n};"
    answer = await functions.call(functions.deploy("node", code))
    [entry] = answer.outcome.logs
    assert "(index.cjs:2:" in entry.message
    assert "code: 'E1'\n}" in entry.message
    assert str(functions.root) not in entry.message
    assert "runtimes" not in entry.message
    assert "node:" not in entry.message


async def test_what_goes_past_the_streams_belongs_to_the_call_that_wrote_it(functions: Functions) -> None:
    """Output of native code and child processes is in the log of its own call, though it comes by another way."""
    code = "import os\ndef handler(context):\n    os.write(1, context.path.encode())\n"
    deployment = functions.deploy("python", code)
    for number in range(20):
        answer = await functions.call(deployment, path=f"/{number}")
        assert [entry.message for entry in answer.outcome.logs] == [f"/{number}"]


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
        await functions.sandbox.close(grace_seconds=1)
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


async def test_a_zygote_that_dies_is_replaced(functions: Functions, runtime: Runtime) -> None:
    """Calls under way fail as crashed when the zygote is killed; the next ones find a new one."""
    deployment = functions.deploy(runtime, SLOW[runtime])
    await functions.call(deployment, path="/quick")
    under_way = asyncio.create_task(functions.call(deployment))
    await asyncio.sleep(0.05)
    os.kill(functions.sandbox._launcher._zygote._process.pid, signal.SIGKILL)  # type: ignore[attr-defined] # inside
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
