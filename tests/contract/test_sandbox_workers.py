"""How many workers there are, which calls they get, and when they end."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from cloudserve.core.models.function import Runtime
from cloudserve.sandbox.abc import InvocationFailed
from tests.contract.sandboxes import ECHO, SLOW, Functions, read, running, until


async def test_calls_at_once_get_workers_of_their_own(functions: Functions, runtime: Runtime) -> None:
    """A burst on a cold function starts as many workers as its calls need, each counted once."""
    code = {
        "python": "import time, uuid\nOWN = str(uuid.uuid4())\n"
        "def handler(context):\n    time.sleep(1.5)\n    return OWN\n",
        "node": "const own = require('crypto').randomUUID();\n"
        "module.exports = () => new Promise((done) => setTimeout(() => done(own), 1500));",
    }
    deployment = functions.deploy(runtime, code[runtime], concurrency=2)
    answers = await asyncio.gather(*(functions.call(deployment) for _ in range(8)))
    assert len({answer.body for answer in answers}) == 4
    assert functions.sandbox.stats().starts == 4


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


async def test_idle_workers_give_memory_back_when_the_host_runs_short(
    functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those without a call end; calls under way go on."""
    idle, slow = functions.deploy("python", ECHO["python"]), functions.deploy("python", SLOW["python"])
    await functions.call(idle)
    await functions.call(slow, path="/quick")
    under_way = asyncio.create_task(functions.call(slow))
    monkeypatch.setattr(functions.sandbox._pressure, "shortage_kib", lambda: 1 << 30)  # type: ignore[attr-defined]
    await until(lambda: functions.sandbox.stats().workers == 0)
    assert (await under_way).status == 200
