"""What every sandbox guarantees (`sandbox/abc.py`), for both runtimes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from cloudserve.core.models.function import Runtime
from cloudserve.sandbox.abc import InvocationFailed
from cloudserve.sandbox.pool import LocalSandbox
from tests.contract.sandboxes import JSON, Functions, read

MEBIBYTE = 1024 * 1024

ECHO = {
    "python": "def handler(context):\n    print('seen')\n    return {'body': context.body, 'path': context['path']}\n",
    "node": "module.exports = (context) => { console.log('seen'); return {body: context.body, path: context.path}; };",
}


@pytest.fixture(params=["python", "node"])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    name: Runtime = request.param
    return name


@pytest.fixture
async def functions(tmp_path: Path) -> AsyncIterator[Functions]:
    sandbox = LocalSandbox(
        work_dir=tmp_path / "work",
        max_workers=16,
        idle_seconds=60,
        queue_seconds=5,
        max_response_bytes=64 * MEBIBYTE,
    )
    await sandbox.start()
    yield Functions(tmp_path, sandbox)
    await sandbox.close(grace_seconds=1)


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
    assert {"python": 'File "main.py", line 2', "node": "index.cjs:2"}[runtime] in (failed.outcome.error or "")
    assert str(functions.root) not in (failed.outcome.error or "")
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
        "python": "import os, time\ndef handler(context):\n    time.sleep(0.2)\n    return str(os.getpid())\n",
        "node": "module.exports = () => new Promise((done) => setTimeout(() => done(String(process.pid)), 200));",
    }
    deployment = functions.deploy(runtime, code[runtime], concurrency=2)
    answers = await asyncio.gather(*(functions.call(deployment) for _ in range(8)))
    assert len({answer.body for answer in answers}) == 4
    assert functions.sandbox.stats().starts == 4
