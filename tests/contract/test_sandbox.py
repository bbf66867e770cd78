"""What becomes of a call, in both runtimes: its answer, its outcome, and each way to fail."""

import signal

import orjson
import pytest

from cloudserve.core.models.function import Runtime
from cloudserve.sandbox.abc import InvocationFailed
from tests.contract.sandboxes import ECHO, JSON, Functions, read, until


async def test_a_call_is_answered_with_its_outcome(functions: Functions, runtime: Runtime) -> None:
    """A call gives status, headers and body, and an outcome with the time, the memory and the lines it printed."""
    answer = await functions.call(functions.deploy(runtime, ECHO[runtime]), path="/a/b", headers=JSON, body=b'{"n": 1}')
    assert answer.status == 200
    assert dict(answer.headers) == {b"content-type": b"application/json"}
    assert orjson.loads(await read(answer)) == {"body": {"n": 1}, "path": "/a/b"}
    outcome = answer.outcome
    assert outcome.status == "success"
    assert outcome.duration_ms > 0
    assert outcome.memory_mb > 0 or runtime == "node"  # what its bare runtime holds does not count
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


async def test_a_thread_that_takes_too_long_costs_the_worker_its_life(functions: Functions) -> None:
    """With several calls in a worker a handler that can't be stopped goes on in no thread after its time."""
    code = (
        "import secrets, time\nNAME = secrets.token_hex()\ndef handler(context):\n"
        "    while context.path == '/spin': time.sleep(0.01)\n    return NAME\n"
    )
    deployment = functions.deploy("python", code, timeout_seconds=0.3, concurrency=4)
    before = await read(await functions.call(deployment))
    with pytest.raises(InvocationFailed) as caught:
        await functions.call(deployment, path="/spin")
    assert caught.value.reason == "timeout"
    await until(lambda: functions.sandbox.stats().workers == 0)
    assert await read(await functions.call(deployment)) != before


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
        "python": "import ctypes, os\ndef handler(context):\n    if context.path == '/exit': os._exit(3)\n"
        "    if context.path == '/kill': ctypes.string_at(0)\n    return 'ok'\n",
        "node": "module.exports = (context) => { if (context.path === '/exit') process.exit(3);\n"
        "if (context.path === '/kill') process.abort(); return 'ok'; };",
    }
    deployment = functions.deploy(runtime, code[runtime])
    with pytest.raises(InvocationFailed) as caught:
        await functions.call(deployment, path="/exit")
    assert (caught.value.status, caught.value.reason) == (502, "crash")
    assert "exit code 3" in caught.value.message
    with pytest.raises(InvocationFailed) as caught:
        await functions.call(deployment, path="/kill")
    # A worker that is the first process of its pid namespace is not ended by its own SIGABRT, but by what follows.
    possible = {"python": {signal.SIGSEGV}, "node": {signal.SIGABRT, signal.SIGSEGV, signal.SIGTRAP}}
    assert caught.value.outcome.signal in possible[runtime]
    assert signal.Signals(caught.value.outcome.signal).name in caught.value.message
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


async def test_what_the_runtime_rehearsed_is_not_there(functions: Functions) -> None:
    """A Node worker has gone through a call of its own before: its module and what it answered are gone."""
    code = "module.exports = () => Object.keys(require.cache).filter((file) => file.endsWith('stage.cjs'));"
    answer = await functions.call(functions.deploy("node", code))
    assert orjson.loads(await read(answer)) == []
    assert not answer.outcome.logs


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
