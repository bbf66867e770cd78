"""What a worker finds within its walls, whichever tier they are of."""

import os
from pathlib import Path

import orjson
import pytest

from cloudserve.core.models.function import Egress, Runtime
from cloudserve.sandbox.abc import InvocationFailed
from tests.contract.sandboxes import Functions, children, read, until


def mounts() -> str:
    """Returns what this process sees mounted."""
    return Path("/proc/self/mountinfo").read_text()


async def test_code_and_dependencies_are_there_and_can_not_be_changed(
    functions: Functions, runtime: Runtime, tmp_path: Path
) -> None:
    """A worker imports from its layer, and can write neither there nor into its code; the host's files stay as is."""
    layer = tmp_path / "layer"
    package = layer / ("node_modules/leftpad" if runtime == "node" else "leftpad")
    package.mkdir(parents=True)
    (package / ("index.js" if runtime == "node" else "__init__.py")).write_text(
        "module.exports = 'found';" if runtime == "node" else "NAME = 'found'\n"
    )
    code = {
        "python": "import leftpad\ndef tried(path):\n    try: open(path, 'w')\n"
        "    except OSError as e: return e.errno\n"
        "def handler(context):\n    return [leftpad.NAME, *map(tried, (__file__, leftpad.__file__))]\n",
        "node": "const fs = require('fs'), found = require('leftpad');\n"
        "const tried = (path) => { try { fs.writeFileSync(path, ''); } catch (e) { return -e.errno; } };\n"
        "module.exports = () => [found, tried(__filename), tried(require.resolve('leftpad'))];",
    }
    deployment = functions.deploy(runtime, code[runtime], layer=layer)
    found, *errors = orjson.loads(await read(await functions.call(deployment)))
    assert found == "found"
    assert set(errors) <= {13, 30}  # EACCES, EROFS
    assert (deployment.code / deployment.entry).read_text() == code[runtime]


async def test_a_bundle_without_dependencies_is_private_to_its_worker(functions: Functions, runtime: Runtime) -> None:
    """Whatever a worker does to its code, the host's stays as it is."""
    code = {
        "python": "def handler(context):\n    try: open(__file__, 'a').write('x')\n    except OSError: pass\n",
        "node": "module.exports = () => { try { require('fs').appendFileSync(__filename, 'x'); } catch {} };",
    }
    deployment = functions.deploy(runtime, code[runtime])
    assert (await functions.call(deployment)).status == 204
    assert (deployment.code / deployment.entry).read_text() == code[runtime]


async def test_files_of_the_host_and_of_other_functions_are_out_of_reach(
    functions: Functions, runtime: Runtime, tmp_path: Path
) -> None:
    """A function reads neither a file beside its own nor another's code, though all may be read by anybody."""
    other = functions.deploy(runtime, "secret of another")
    (tmp_path / "host").write_text("secret of the host")
    code = {
        "python": "def tried(path):\n    try: return open(path).read()\n    except OSError as e: return e.errno\n"
        "def handler(context):\n    return [tried(path) for path in context.body]\n",
        "node": "const tried = (path) => { try { return require('fs').readFileSync(path, 'utf8'); }\n"
        "catch (e) { return -e.errno; } }; module.exports = (context) => context.body.map(tried);",
    }
    paths = [str(tmp_path / "host"), str(other.code / other.entry), "/etc/shadow", f"/proc/{os.getpid()}/environ"]
    answer = await functions.call(
        functions.deploy(runtime, code[runtime]),
        body=orjson.dumps(paths),
        headers=((b"content-type", b"application/json"),),
    )
    assert set(orjson.loads(await read(answer))) <= {2, 13}  # ENOENT, EACCES


async def test_folders_begin_empty_and_are_the_workers_own(functions: Functions, runtime: Runtime) -> None:
    """HOME, TMPDIR and the working folder are one, writable, and empty but for links to code that tier C needs."""
    code = {
        "python": "import os\ndef handler(context):\n    open('made', 'w').close()\n"
        "    here = os.getcwd()\n    return [os.environ['HOME'] == here, os.environ['TMPDIR'] == here, os.listdir()]\n",
        "node": "const fs = require('fs'); module.exports = () => { fs.writeFileSync('made', '');\n"
        "const here = process.cwd(); return [process.env.HOME === here, process.env.TMPDIR === here,\n"
        "fs.readdirSync('.')]; };",
    }
    answer = orjson.loads(await read(await functions.call(functions.deploy(runtime, code[runtime]))))
    assert answer[:2] == [True, True]
    assert set(answer[2]) - {"fn"} == {"made"}


async def test_a_cold_call_says_what_its_walls_took(functions: Functions, runtime: Runtime) -> None:
    """The part of walls is a figure of its own beside the start of the process and the loading of code."""
    code = {"python": "def handler(context):\n    return 'ok'\n", "node": "module.exports = () => 'ok';"}
    cold = (await functions.call(functions.deploy(runtime, code[runtime]))).outcome.cold
    assert cold is not None
    assert cold.walls_ms > 0
    assert cold.spawn_ms >= 0


async def test_a_list_that_can_not_be_read_fails_the_call(functions: Functions) -> None:
    """Rules that mean nothing allow nothing, and the error names the entry."""
    deployment = functions.deploy("python", "def handler(context):\n    return 'ok'\n")
    object.__setattr__(deployment, "egress", Egress(mode="list", allow=["exa mple:1"]))
    with pytest.raises(InvocationFailed, match="exa mple"):
        await functions.call(deployment)


async def test_ordinary_children_leave_no_zombies(functions: Functions, runtime: Runtime) -> None:
    """Programs that a function runs and waits for are gone afterwards, also hundreds of them."""
    code = {
        "python": "import os, subprocess\ndef handler(context):\n"
        "    for _ in range(100): subprocess.run(['/bin/true'], check=True)\n"
        "    return len(open(f'/proc/self/task/{os.getpid()}/children').read().split())\n",
        "node": "const fs = require('fs'), { execFileSync } = require('child_process'); module.exports = () => {\n"
        "for (let i = 0; i < 100; i++) execFileSync('/bin/true');\n"
        "return fs.readFileSync(`/proc/self/task/${process.pid}/children`, 'latin1').split(' ').length - 1; };",
    }
    deployment = functions.deploy(runtime, code[runtime], timeout_seconds=60)
    assert await read(await functions.call(deployment)) == b"0"


async def test_mounts_of_workers_are_not_the_hosts(functions: Functions, runtime: Runtime) -> None:
    """Neither while a worker runs nor after its end does the host see a mount more."""
    before = mounts()
    code = {
        "python": "import os\ndef handler(context):\n    if context.path == '/die': os._exit(1)\n",
        "node": "module.exports = (context) => { if (context.path === '/die') process.exit(1); };",
    }
    deployment = functions.deploy(runtime, code[runtime])
    await functions.call(deployment)
    assert mounts() == before
    with pytest.raises(InvocationFailed):
        await functions.call(deployment, path="/die")
    assert mounts() == before


async def test_what_a_worker_started_ends_with_it(functions: Functions, runtime: Runtime) -> None:
    """Also a daemon in a session of its own, which at tiers A and B not even a double fork saves."""
    code = {
        "python": "import os, subprocess\ndef handler(context):\n"
        "    subprocess.run(['sh', '-c', 'setsid sleep 71 & setsid sleep 71 &'], check=True)\n    os._exit(1)\n",
        "node": "module.exports = () => { require('child_process').execFileSync('sh',\n"
        "['-c', 'setsid sleep 71 >/dev/null 2>&1 & setsid sleep 71 >/dev/null 2>&1 &']); process.exit(1); };",
    }
    before = set(children())
    with pytest.raises(InvocationFailed):
        await functions.call(functions.deploy(runtime, code[runtime]))

    def sleeping() -> list[int]:
        return [pid for pid in set(children()) - before if Path(f"/proc/{pid}/comm").read_text() == "sleep\n"]

    await until(lambda: not sleeping())


async def test_a_workers_command_line_tells_nothing_of_the_platforms_settings(
    functions: Functions, runtime: Runtime
) -> None:
    """What a worker can read of itself names neither networks that the operator permits nor how it is walled off."""
    code = {
        "python": "import sys\ndef handler(context):\n    return open('/proc/self/cmdline').read() + repr(sys.argv)\n",
        "node": "module.exports = () => require('fs').readFileSync('/proc/self/cmdline', 'utf8') + process.argv;",
    }
    text = await read(await functions.call(functions.deploy(runtime, code[runtime])))
    assert text
    assert b"egress" not in text
    assert b"tier" not in text
