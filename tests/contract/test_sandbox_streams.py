"""Bodies and answers that come in parts, and calls that their callers give up."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest

from cloudserve.core.models.function import Runtime
from cloudserve.sandbox.abc import InvocationFailed
from tests.contract.sandboxes import ECHO, Functions, read, until


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
