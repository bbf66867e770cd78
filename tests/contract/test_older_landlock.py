"""Tier C on a kernel before Linux 6.12, whose landlock lets signals pass: a filter of each worker's own does not."""

import os
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from cloudserve.core.confine.tiers import detect
from cloudserve.core.models.function import Runtime
from tests.contract.sandboxes import JSON, Functions, children, read, running

SIGNALLING = {
    "python": """
import os, signal, subprocess
def sent(pid):
    try:
        os.kill(pid, signal.SIGCONT)
    except PermissionError:
        return "refused"
    return "sent"
def handler(context):
    said = subprocess.run(["/bin/echo", "-n", "child"], capture_output=True, check=True, text=True).stdout
    return {"own": sent(os.getpid()), "others": [sent(pid) for pid in context.body if pid != os.getpid()], "said": said}
""",
    "node": """
const {execFileSync} = require('node:child_process');
const sent = (pid) => {
  try { process.kill(pid, 'SIGCONT'); return 'sent'; } catch (error) {
    if (error.code !== 'EPERM') throw error;
    return 'refused';
  }
};
module.exports = ({body}) => ({
  own: sent(process.pid),
  others: body.filter((pid) => pid !== process.pid).map(sent),
  said: execFileSync('/bin/echo', ['-n', 'child']).toString(),
});
""",
}


async def test_a_worker_signals_itself_and_nobody_else(tmp_path: Path, runtime: Runtime) -> None:
    """Neither the platform and what it has started, nor another worker; and it runs programs as ever."""
    found = detect(at_most="C")
    if found.tier != "C":
        assert os.environ.get("CI") != "true"
        pytest.skip("there is no tier C on this machine")
    layers = (replace(layer, on=layer.on and layer.name != "landlock-signals") for layer in found.layers)
    async with running(tmp_path, protection=replace(found, layers=tuple(layers))) as functions:
        others = [os.getpid(), *await _others(functions)]
        attacker = functions.deploy(runtime, SIGNALLING[runtime])
        told = orjson.loads(await read(await functions.call(attacker, headers=JSON, body=orjson.dumps(others))))
    assert told == {"own": "sent", "others": ["refused"] * len(others), "said": "child"}


async def _others(functions: Functions) -> list[int]:
    """Returns the processes of the sandbox, with a worker among them."""
    worker = functions.deploy("python", "import os\ndef handler(context):\n    return os.getpid()\n")
    pid = int(await read(await functions.call(worker)))
    found = children()
    assert pid in found
    return found
