"""Tier C with real processes: nothing of one owner is left when another is served."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cloudserve.core.confine.tiers import detect
from cloudserve.core.models.function import Runtime
from cloudserve.sandbox.claims import ClaimedSandbox
from cloudserve.sandbox.pool import LocalSandbox
from cloudserve.sandbox.turnstile import Turnstile
from tests.contract.sandboxes import MEBIBYTE, Functions, children, descriptors, read, until

TELL = {
    "python": "import os\ndef handler(context):\n"
    "    open('left-behind', 'w').write('x')\n    return {'pid': os.getpid(), 'cwd': os.getcwd()}\n",
    "node": "module.exports = () => { require('fs').writeFileSync('left-behind', 'x');"
    " return {pid: process.pid, cwd: process.cwd()}; };",
}
DAEMONS = """
import os, time
def handler(context):
    reading, writing = os.pipe()
    if os.fork() == 0:
        for generation in range(4):
            os.setsid()
            os.write(writing, b"%d " % os.getpid())
            if os.fork() != 0:
                break
        else:
            os.write(writing, b".")
        time.sleep(600)
    told = b""
    while not told.endswith(b"."):
        told += os.read(reading, 100)
    return [int(pid) for pid in told[:-1].split()]
"""


@asynccontextmanager
async def claimed(root: Path) -> AsyncIterator[Functions]:
    """Runs a sandbox as the platform has it at tier C."""
    protection = detect(at_most="C")
    assert protection.tier == "C", "every Linux since 5.14 can do this much"

    def make() -> LocalSandbox:
        return LocalSandbox(
            work_dir=root / "work",
            max_workers=8,
            idle_seconds=60,
            queue_seconds=20,
            max_response_bytes=MEBIBYTE,
            protection=protection,
        )

    turnstile = Turnstile(root / "turnstile")
    sandbox = ClaimedSandbox(make, turnstile=turnstile, queue_seconds=20, slice_seconds=0)
    await sandbox.start()
    try:
        yield Functions(root, sandbox)
    finally:
        await sandbox.close(grace_seconds=1)


async def told(functions: Functions, code: Any) -> Any:
    return json.loads(await read(await functions.call(code)))


def is_alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_no_process_and_no_file_of_one_owner_outlives_its_turn(tmp_path: Path, runtime: Runtime) -> None:
    """The tree of processes is another, and so is the folder."""
    before = set(children())
    async with claimed(tmp_path) as functions:
        code = functions.deploy(runtime, TELL[runtime])
        ann, bob = replace(code, owner_id="ann"), replace(code, owner_id="bob", version_id="ver_bob")
        first = await told(functions, ann)
        tree = set(children()) - before
        assert first["pid"] in tree
        second = await told(functions, bob)
        assert tree.isdisjoint(children())
        assert not [pid for pid in tree if is_alive(pid)]
        assert first["pid"] != second["pid"]
        assert list((tmp_path / "work").rglob("left-behind")) == [Path(second["cwd"]) / "left-behind"]


async def test_daemons_that_left_their_worker_end_with_the_turn(tmp_path: Path) -> None:
    """Generations of them, each in a session of its own, started by the one before it."""
    async with claimed(tmp_path) as functions:
        code = functions.deploy("python", DAEMONS)
        daemons = await told(functions, replace(code, owner_id="ann"))
        assert len(daemons) == 4
        assert all(is_alive(pid) for pid in daemons)
        await told(functions, replace(code, owner_id="bob", version_id="ver_bob"))
        assert not [pid for pid in daemons if is_alive(pid)]


async def test_turns_leave_nothing_in_this_process(tmp_path: Path) -> None:
    """No descriptor, no process, no folder, however often the place changes hands."""
    before = descriptors(), children()
    async with claimed(tmp_path) as functions:
        code = functions.deploy("python", TELL["python"])
        for turn in range(4):
            await told(functions, replace(code, owner_id=f"own_{turn % 2}", version_id=f"ver_{turn % 2}"))
    await until(lambda: (descriptors(), children()) == before)
    assert not (tmp_path / "work" / "workers").exists()


async def test_calls_of_two_owners_at_once_are_all_answered(tmp_path: Path) -> None:
    """Each by processes that served nobody else."""
    async with claimed(tmp_path) as functions:
        code = functions.deploy("python", TELL["python"])
        owners = [replace(code, owner_id=owner, version_id=f"ver_{owner}") for owner in ("ann", "bob")]
        answers = await asyncio.gather(*(told(functions, owners[number % 2]) for number in range(10)))
        pids = [{answer["pid"] for answer in answers[number::2]} for number in range(2)]
        assert pids[0].isdisjoint(pids[1])
        assert os.getpid() not in pids[0] | pids[1]
