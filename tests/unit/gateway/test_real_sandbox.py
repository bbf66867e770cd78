"""The gateway with real workers: what the scripted sandbox can't show."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from cloudserve.core.confine.tiers import detect
from cloudserve.sandbox.pool import LocalSandbox
from tests.unit.gateway.support import Platform, running, settled

MEBIBYTE = 1024 * 1024


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[Platform]:
    """A gateway with a small pool of real workers."""
    sandbox = LocalSandbox(
        work_dir=tmp_path / "work",
        max_workers=4,
        idle_seconds=60,
        queue_seconds=2,
        max_response_bytes=16 * MEBIBYTE,
        protection=detect(),
    )
    async with running(tmp_path, sandbox, max_body_mb=1) as platform:
        yield platform


async def python(platform: Platform, source: str, **spec: object) -> None:
    """Deploys the public Python function alice/hello."""
    owner = await platform.store.owners.by_name("alice") or await platform.owner()
    function = await platform.store.functions.by_name(owner.id, "hello")
    function = function or await platform.function(owner, public=True, live=False)
    await platform.deploy(function, source, runtime="python", **spec)
    await platform.gateway.prewarm(function)


async def test_a_burst_over_what_a_function_may_use_never_collapses(real: Platform) -> None:
    """Of 500 calls at once on two workers each is answered with 200, 429 or 503, and the next call is fine."""
    source = "import time\ndef handler(context):\n    time.sleep(0.02)\n    return 'done'\n"
    await python(real, source, limits={"max_workers": 2})
    limits = httpx2.Limits(max_connections=500)
    async with httpx2.AsyncClient(base_url=real.functions.base_url, trust_env=False, limits=limits, timeout=60) as many:
        answers = await asyncio.gather(*(many.get("/run/alice/hello") for _ in range(500)))
        statuses = Counter(answer.status_code for answer in answers)
        assert set(statuses) <= {200, 429, 503}
        assert statuses[200] >= 50
        assert all("retry-after" in answer.headers for answer in answers if answer.status_code != 200)
        assert (await many.get("/run/alice/hello")).status_code == 200
    assert real.sandbox.stats().workers <= 2


async def test_a_deploy_under_load_fails_no_call(real: Platform) -> None:
    """Real workers of the old version finish what they have begun."""
    await python(real, "def handler(context):\n    return 'v1'\n", limits={"max_workers": 2})
    over = asyncio.Event()

    async def caller() -> list[str]:
        seen = []
        while not over.is_set():
            answer = await real.functions.get("/run/alice/hello")
            assert answer.status_code == 200, answer.text
            seen.append(answer.text)
        return seen

    callers = [asyncio.create_task(caller()) for _ in range(4)]
    await asyncio.sleep(0.2)
    await python(real, "def handler(context):\n    return 'v2'\n", limits={"max_workers": 2})
    await asyncio.sleep(0.2)
    over.set()
    for task in callers:
        seen = await task
        assert seen == sorted(seen)
        assert {"v1", "v2"} == set(seen)


async def test_a_stream_flows_both_ways(real: Platform) -> None:
    """A large body in parts to the function, and a generator's parts back."""
    await python(
        real,
        "def handler(context):\n    yield str(len(context['body']))\n    for n in range(3):\n        yield f' {n}'\n",
    )

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 50_000

    answer = await real.functions.post("/run/alice/hello", content=parts(), headers={"content-type": "text/plain"})
    assert (answer.status_code, answer.text) == (200, "500000 0 1 2")


async def test_a_chunked_body_over_the_limit_is_a_413_with_real_workers_too(real: Platform) -> None:
    """The worker is not told that the platform refused: it lives on."""
    await python(real, "def handler(context):\n    return 'done'\n")

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"x" * 50_000

    answer = await real.functions.post("/run/alice/hello", content=parts())
    assert (answer.status_code, answer.json()["reason"]) == (413, "body-too-large")
    assert (await real.functions.get("/run/alice/hello")).status_code == 200


@pytest.mark.parametrize(
    ("source", "status", "reason"),
    [
        ("def handler(context):\n    raise ValueError('no')\n", 500, "exception"),
        ("import os\ndef handler(context):\n    os._exit(3)\n", 502, "crash"),
        ("import nowhere_to_be_found\n", 500, "load-failed"),
    ],
)
async def test_a_failing_function_has_its_status_and_reason(
    real: Platform, source: str, status: int, reason: str
) -> None:
    """Also one whose code does not load, which goes live all the same: its callers are told."""
    await python(real, source)
    answer = await real.functions.get("/run/alice/hello")
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


async def test_a_changed_secret_is_served_by_new_workers(real: Platform) -> None:
    """Without a deploy, and without a failed call."""
    owner = await real.owner()
    function = await real.function(owner, public=True, live=False)
    await real.secret(function, "TOKEN", "one")
    source = "import os\ndef handler(context):\n    return os.environ['TOKEN']\n"
    await real.deploy(function, source, runtime="python", secrets=["TOKEN"])
    await real.gateway.prewarm(function)
    assert (await real.functions.get("/run/alice/hello")).text == "one"
    await real.secret(function, "TOKEN", "two")
    await real.gateway.prewarm(function)
    assert (await real.functions.get("/run/alice/hello")).text == "two"


async def test_a_version_gets_the_secrets_that_it_names_or_else_all(real: Platform) -> None:
    """So that a version can be kept from what is not its own."""
    owner = await real.owner()
    function = await real.function(owner, public=True, live=False)
    await real.secret(function, "FIRST", "1")
    await real.secret(function, "SECOND", "2")
    source = "import os\ndef handler(context):\n    return sorted({'FIRST', 'SECOND'} & set(os.environ))\n"
    for named, seen in (["SECOND"], ["SECOND"]), ([], ["FIRST", "SECOND"]):
        await real.deploy(function, source, runtime="python", secrets=named)
        await real.gateway.prewarm(function)
        assert (await real.functions.get("/run/alice/hello")).json() == seen


SLOW_TO_LOAD = {
    "python": "import colorsys\ndef handler(context):\n    return 'hello'\n",
    "node": "require('node:zlib');\nmodule.exports = async function* () { yield 'hello'; };\n",
}


@pytest.mark.parametrize("runtime", ["python", "node"])
async def test_a_cold_call_says_what_its_start_cost(real: Platform, runtime: str) -> None:
    """In `Server-Timing` and in its log, whole or streamed; a warm call says nothing."""
    function = await real.function(await real.owner(), public=True, live=False)
    await real.deploy(function, SLOW_TO_LOAD[runtime], runtime=runtime)
    await settled(real)
    await real.sandbox.retire(function.id)  # what the gateway may have made ready meanwhile
    answer = await real.functions.get("/run/alice/hello")
    assert answer.text == "hello"
    timing = answer.headers["server-timing"]
    names = [metric.partition(";")[0] for metric in timing.split(", ")]
    assert names[:4] == ["cold", "spawn", "walls", "load"]
    assert f'import;desc="{"colorsys" if runtime == "python" else "node:zlib"}"' in timing
    assert (names[-1] == "handler") == (runtime == "python")
    assert "server-timing" not in (await real.functions.get("/run/alice/hello")).headers
    _, [cold, warm] = await real.records(function, 2)
    assert cold.cold_start is not None
    assert {"spawnMs", "wallsMs", "loadMs", "imports", "handlerMs"} == set(cold.cold_start)
    assert cold.cold_start["handlerMs"] > 0
    assert warm.cold_start is None
