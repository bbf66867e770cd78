"""Big Node bundles: later workers of a version load what an earlier one compiled."""

import asyncio
import struct
from pathlib import Path
from typing import Any

import orjson
import pytest

from cloudserve.sandbox.abc import Deployment, InvocationFailed
from tests.contract.sandboxes import Functions, read, running

FILLER = "".join(f"function filler{n}(a) {{ return a + {n}; }}\n" for n in range(1500))
CACHE = 15


@pytest.fixture
async def functions(tmp_path: Path) -> Any:
    """A sandbox whose idle workers end soon."""
    async with running(tmp_path, idle_seconds=1.5) as functions:
        yield functions


async def cold_call(functions: Functions, deployment: Deployment) -> tuple[bool, bytes]:
    """Waits until the version has no worker and calls it; returns whether its bundle was cached, and the answer."""
    async with asyncio.timeout(10):
        while functions.sandbox.stats().workers:  # noqa: ASYNC110 - what is waited for is another process's doing
            await asyncio.sleep(0.05)
    answer = await functions.call(deployment)
    cold = answer.outcome.cold
    assert cold is not None
    assert answer.outcome.logs == ()
    return cold.cached, await read(answer)


async def test_the_second_worker_loads_what_the_first_compiled(functions: Functions) -> None:
    """And the module is what it would be without: its requires, its exports, its place."""
    code = (
        "exports.early = [typeof require, require.resolve('./data.json'), module.exports === exports, this === exports,"
        " __filename, __dirname, module.id, module.loaded, require.main === module];\n" + FILLER + "exports.handler = "
        "() => [...exports.early, module.loaded, filler7(1), require('./data.json').x];\n"
    )
    files = {"data.json": '{"x": 1}'}
    small = functions.deploy("node", code.replace(FILLER, "const filler7 = (a) => a + 7;"), files=files)
    _, plain = await cold_call(functions, small)
    deployment = functions.deploy("node", code, files=files)
    first, compiled = await cold_call(functions, deployment)
    second, cached = await cold_call(functions, deployment)
    assert (first, second) == (False, True)
    assert orjson.loads(cached)[9:] == [True, 8, 1]
    for folder in (small.code, deployment.code):  # where workers have no root of their own, that is in the paths
        plain, compiled, cached = (told.replace(bytes(folder), b"") for told in (plain, compiled, cached))
    told = [[str(item).rpartition("/")[2] for item in orjson.loads(answer)] for answer in (plain, compiled, cached)]
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize(
    "way",
    ["import('./side.mjs')", "new Function('return import(\"node:path\")')()", "import /* later */ ('./side.mjs')"],
)
async def test_a_bundle_that_imports_later_is_left_to_node(functions: Functions, way: str) -> None:
    """V8 loses what `import()` needs in a code cache."""
    code = FILLER + f"module.exports = async () => typeof await {way};\n"
    deployment = functions.deploy("node", code, files={"side.mjs": "export default 1;"})
    for _ in range(2):
        assert await cold_call(functions, deployment) == (False, b"object")


@pytest.mark.parametrize("mapped", [True, False], ids=["with a source map", "without"])
async def test_stacks_name_the_users_line(functions: Functions, mapped: bool) -> None:
    """Compiled or cached, of the first line of the bundle as of any other."""
    source_map = {
        "version": 3,
        "sources": ["src/shop.ts"],
        "names": [],
        "mappings": "AAIA;AACA;AACA",  # line 1 of the bundle is line 5 of the source, and so on
        "sourcesContent": ["\n\n\n\nfunction sold() { null.out; }\nmodule.exports = () => {\n  sold(); };\n"],
    }
    code = "function sold() { null.out; }\nmodule.exports = () => {\nsold(); };\n" + FILLER
    files = {"index.cjs.map": orjson.dumps(source_map).decode()} if mapped else {}
    deployment = functions.deploy("node", code + "//# sourceMappingURL=index.cjs.map\n", files=files)
    lines = ("(src/shop.ts:5:1)", "(src/shop.ts:7:1)") if mapped else ("(index.cjs:1:24)", "(index.cjs:3:1)")
    for cached in (False, True):
        with pytest.raises(InvocationFailed) as caught:
            await cold_call(functions, deployment)
        outcome = caught.value.outcome
        assert outcome.cold is not None
        assert outcome.cold.cached == cached
        assert [line in (outcome.error or "") for line in lines] == [True, True]
        assert "_compile" not in (outcome.error or "")


async def test_a_syntax_error_is_told_as_ever(functions: Functions) -> None:
    """With its line."""
    with pytest.raises(InvocationFailed) as caught:
        await functions.call(functions.deploy("node", FILLER + "let let = 1;\n"))
    assert caught.value.reason == "load-failed"
    assert "index.cjs:1501" in (caught.value.outcome.error or "")


def forging(handed: str) -> str:
    """Returns a big bundle whose workers hand over this in place of their code cache."""
    return (
        "const vm = require('vm');\n"
        "const genuine = vm.Script.prototype.createCachedData;\n"
        "vm.Script.prototype.createCachedData = function () {\n"
        f"const cache = genuine.call(this); return {handed}; }};\n"
        "module.exports = () => 'served';\n" + FILLER
    )


@pytest.mark.parametrize(
    ("handed", "accepted"),
    [
        ("Buffer.from('forged')", False),
        ("cache.subarray(0, cache.length / 2)", False),
        ("Buffer.alloc(0)", False),
        ("Buffer.alloc(9 * 1024 * 1024)", False),
        ("cache", True),
    ],
    ids=["forged", "truncated", "empty", "oversized", "genuine"],
)
async def test_a_false_cache_harms_nobody(functions: Functions, handed: str, accepted: bool) -> None:
    """V8 refuses it and the bundle is compiled; the function serves as ever."""
    deployment = functions.deploy("node", forging(handed))
    for cached in (False, accepted, accepted):
        assert await cold_call(functions, deployment) == (cached, b"served")


async def test_a_cache_that_nobody_asked_for_is_not_taken(functions: Functions) -> None:
    """However much of it is sent, and the worker goes on."""
    piece = struct.pack(">IBI", 1024 * 1024, CACHE, 0).hex()
    code = (
        f"const head = Buffer.from('{piece}', 'hex');\nconst fs = require('fs');\n"
        "module.exports = () => { const frame = Buffer.concat([head, Buffer.alloc(1 << 20)]);\n"
        "for (let n = 0; n < 20; n += 1) for (let at = 0; at < frame.length;) {\n"
        "try { at += fs.writeSync(3, frame, at); } catch (error) { if (error.code !== 'EAGAIN') throw error; } }\n"
        "return 'served'; };\n"
    )
    deployment = functions.deploy("node", code)
    for _ in range(3):
        assert (await functions.call(deployment)).body == b"served"


async def test_another_version_does_not_get_it(functions: Functions) -> None:
    """Not even one of the same bundle: its first worker compiles."""
    code = "module.exports = () => 'served';\n" + FILLER
    one, two = (functions.deploy("node", code, function_id="fun_a") for _ in range(2))
    assert [(await cold_call(functions, version))[0] for version in (one, one, two, two)] == [False, True, False, True]
