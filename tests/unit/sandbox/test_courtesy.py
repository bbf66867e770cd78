"""Workers that compute for long give way: told by the kernel's own state, which no busy machine changes."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudserve.core.confine.cgroups import Group
from cloudserve.sandbox.courtesy import Courtesy
from cloudserve.sandbox.pool import LocalSandbox
from tests.contract.sandboxes import running, until


class FakeGroup(Group):
    """A group in an ordinary folder, which stands for one of the kernel's."""

    def bound(self, *, memory_bytes: int, processes: int) -> None:
        """Bounds nothing."""

    def oom_kills(self) -> int:
        """Nothing runs in it."""
        return 0

    def peak_bytes(self) -> int:
        """Nothing runs in it."""
        return 0


@pytest.fixture
def process() -> Iterator[int]:
    """A process that leads a session, as workers do."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        while True:
            signal.pause()
    while os.sched_getscheduler(pid) != os.SCHED_BATCH:
        pass
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_a_worker_in_a_group_gives_way_with_its_group(tmp_path: Path, process: int) -> None:
    """The group is idle, and the process keeps its own policy."""
    (tmp_path / "cgroup.procs").touch()
    (tmp_path / "cpu.idle").write_text("0")
    group = FakeGroup([tmp_path])
    courtesy = Courtesy(process, group)
    courtesy.give_way()
    assert (tmp_path / "cpu.idle").read_text() == "1"
    assert os.sched_getscheduler(process) == os.SCHED_BATCH
    courtesy.stop_giving_way()
    assert (tmp_path / "cpu.idle").read_text() == "0"
    assert not courtesy.gives_way
    group.seal()


def test_a_worker_without_a_group_gives_way_by_its_session_and_its_policy(process: int) -> None:
    """And root can take both back."""
    autogroup = Path(f"/proc/{process}/autogroup")
    has_autogroups = autogroup.exists() and autogroup.read_text().strip() != ""
    courtesy = Courtesy(process, None)
    courtesy.give_way()
    assert os.sched_getscheduler(process) == os.SCHED_IDLE
    if has_autogroups and os.geteuid() == 0:
        assert autogroup.read_text().split()[-1] == "19"
    courtesy.stop_giving_way()
    if os.geteuid() == 0:
        assert os.sched_getscheduler(process) == os.SCHED_BATCH


def test_a_process_that_has_ended_is_no_error() -> None:
    """The watch may be a moment late."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    courtesy = Courtesy(pid, None)
    courtesy.give_way()
    courtesy.call_begins()
    courtesy.stop_giving_way()


async def test_a_worker_whose_call_computes_gives_way_until_a_call_was_short(tmp_path: Path) -> None:
    """The watch sees it; calls go on, and are answered. What is next may be as long: only its end tells."""
    source = "import time\ndef handler(context):\n    end = time.process_time() + (context.path == '/long')\n"
    source += "    while time.process_time() < end: pass\n    return 'done'\n"
    async with running(tmp_path) as functions:
        assert isinstance(functions.sandbox, LocalSandbox)
        deployment = functions.deploy("python", source)
        await functions.call(deployment, path="/short")
        [worker] = functions.sandbox._members
        assert worker.courtesy is not None
        long = asyncio.create_task(functions.call(deployment, path="/long"))
        await until(lambda: worker.courtesy is not None and worker.courtesy.gives_way, seconds=30)
        assert (await long).status == 200
        assert (await functions.call(deployment, path="/long")).status == 200
        assert worker.courtesy.gives_way
        assert (await functions.call(deployment, path="/short")).status == 200
        assert worker.courtesy.gives_way
        assert (await functions.call(deployment, path="/short")).status == 200
        assert not worker.courtesy.gives_way
