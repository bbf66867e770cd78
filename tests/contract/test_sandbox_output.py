"""What functions print: caught with its level, kept with its call, and bounded."""

import asyncio
import time

import pytest

from cloudserve.core.models.function import Runtime
from cloudserve.sandbox.abc import InvocationFailed
from tests.contract.sandboxes import Functions


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


async def test_an_unfinished_line_is_not_lost_with_the_process(functions: Functions) -> None:
    """Also where the function ends it without a word; a child that it forked says nothing in its name."""
    code = (
        "import os\ndef handler(context):\n    print('half a', end='')\n    if os.fork() == 0: os._exit(0)\n"
        "    os.wait()\n    os._exit(7)\n"
    )
    with pytest.raises(InvocationFailed) as caught:
        await functions.call(functions.deploy("python", code))
    assert caught.value.reason == "crash"
    assert [entry.message for entry in caught.value.outcome.logs] == ["half a"]
