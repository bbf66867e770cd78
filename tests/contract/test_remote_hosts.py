"""Sandbox hosts as processes of their own, with real workers: what gateways see when they die, go and come back."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cloudserve.core.confine.tiers import Tier
from cloudserve.sandbox.abc import Answer, Deployment, InvocationFailed
from cloudserve.sandbox.remote.client import RemoteSandbox
from cloudserve.sandbox.remote.tls import GATEWAY, SANDBOX
from tests.contract.sandboxes import TIER, Functions, make_call, read, tiers, until
from tests.servers.processes import Server, free_port
from tests.unit.sandbox.remote.certificates import Authority

pytestmark = pytest.mark.full

PIDS = (
    "import os, time\ndef handler(context):\n"
    "    time.sleep(float(context.path[1:]))\n    return {'pid': os.getppid()}\n"
)
ROOT = Path(__file__).parents[2]


@dataclass
class Fleet:
    """Hosts, and functions that are called on them."""

    hosts: list[Server]
    functions: Functions
    remote: RemoteSandbox

    async def ask(self, deployment: Deployment, path: str = "/0") -> Answer:
        """Calls a function."""
        return await self.remote.invoke(deployment, make_call(path=path))


@asynccontextmanager
async def fleet(folder: Path, count: int, *, tier: Tier | None = None) -> AsyncIterator[Fleet]:
    """Runs so many hosts, and a gateway's sandbox over them; tier C as the platform has it."""
    authority = Authority(folder / "tls")
    authority.issue(SANDBOX)
    tls = authority.issue(GATEWAY)
    environment = {"PYTHONPATH": os.pathsep.join((str(ROOT / ".src"), str(ROOT))), TIER: tier or tiers()[0]}
    hosts = []
    for _ in range(count):
        port = free_port()
        command: list[str | Path] = [sys.executable, "-m", "tests.contract.sandbox_host", folder, str(port)]
        if tier == "C":
            command.append("claimed")
        hosts.append(Server(command, port=port, log=folder / f"{port}.log", environment=environment))
    remote = RemoteSandbox(",".join(f"127.0.0.1:{host.port}" for host in hosts), tls=tls)
    try:
        await asyncio.gather(*(asyncio.to_thread(host.start) for host in hosts))
        await remote.start()
        await until(lambda: remote.reachable == count)
        yield Fleet(hosts, Functions(folder, remote), remote)
    finally:
        await remote.close(grace_seconds=1)
        for host in hosts:
            await asyncio.to_thread(host.stop)


async def test_a_host_that_is_killed_takes_nothing_but_the_calls_in_flight_on_it(tmp_path: Path) -> None:
    """They fail with a 502 that says so; every other call of a steady load is answered, and goes on when it is back."""
    async with fleet(tmp_path, 3) as there:
        functions = [there.functions.deploy("python", PIDS, concurrency=1) for _ in range(6)]
        await asyncio.gather(*(there.ask(one) for one in functions))
        ends: Counter[str] = Counter()
        enough = asyncio.Event()

        async def load(deployment: Deployment) -> None:
            while not enough.is_set():
                try:
                    answer = await there.ask(deployment, "/0.02")
                    ends[f"{answer.status}"] += 1
                except InvocationFailed as failed:
                    ends[f"{failed.status} {failed.reason} {failed.component}"] += 1
                    await asyncio.sleep(0.01)

        loads = [asyncio.create_task(load(one)) for one in functions * 2]
        await asyncio.sleep(1)
        in_flight = {host.name: host.in_flight for host in there.remote._choice.hosts}
        victim = max(there.hosts, key=lambda host: in_flight[f"127.0.0.1:{host.port}"])
        await asyncio.to_thread(victim.kill)
        await until(lambda: there.remote.reachable == 2, seconds=1)
        before = ends["200"]
        await until(lambda: ends["200"] > before + 100)
        await asyncio.to_thread(victim.start)
        await until(lambda: there.remote.reachable == 3)
        before = ends["200"]
        await until(lambda: ends["200"] > before + 100)
        enough.set()
        await asyncio.gather(*loads)
        lost = ends.pop("502 sandbox-lost sandbox", 0)
        assert 1 <= lost <= len(loads)
        assert set(ends) == {"200"}


async def test_a_host_that_is_told_to_end_loses_nothing(tmp_path: Path) -> None:
    """It finishes what it has while the others take over."""
    async with fleet(tmp_path, 2) as there:
        functions = [there.functions.deploy("python", PIDS) for _ in range(6)]
        await asyncio.gather(*(there.ask(one) for one in functions))
        calls = [asyncio.create_task(there.ask(one, "/0.3")) for one in functions]
        await asyncio.sleep(0.1)
        stopping = asyncio.create_task(asyncio.to_thread(there.hosts[0].stop))
        for _ in range(20):
            answers = await asyncio.gather(*(there.ask(one) for one in functions))
            assert {answer.status for answer in answers} == {200}
        assert {(await call).status for call in calls} == {200}
        await stopping


async def test_a_host_that_stops_answering_is_left_within_a_second(tmp_path: Path) -> None:
    """Not its calls in flight: it may come back, as this one does, and answer them."""
    async with fleet(tmp_path, 2) as there:
        deployment = there.functions.deploy("python", PIDS)
        await there.ask(deployment)
        held = asyncio.create_task(there.ask(deployment, "/0.2"))
        await until(lambda: any(host.in_flight for host in there.remote._choice.hosts))
        (name,) = [host.name for host in there.remote._choice.hosts if host.in_flight]
        (frozen,) = [host for host in there.hosts if name.endswith(f":{host.port}")]
        os.kill(frozen.pid, signal.SIGSTOP)
        try:
            await until(lambda: there.remote.reachable == 1, seconds=2)
            assert (await there.ask(deployment)).status == 200
            assert not held.done()
        finally:
            os.kill(frozen.pid, signal.SIGCONT)
        assert (await held).status == 200
        await until(lambda: there.remote.reachable == 2)


@pytest.mark.skipif("C" not in tiers(), reason="this process can't make tier C")
async def test_owners_are_kept_apart_where_a_host_serves_one_at_a_time(tmp_path: Path) -> None:
    """Each owner has a host of its own for as long as there are enough, and no process ever serves two."""
    async with fleet(tmp_path, 2, tier="C") as there:
        code = there.functions.deploy("python", PIDS)
        owners = ["ann", "bob"]
        served: dict[str, set[int]] = {owner: set() for owner in [*owners, "eve"]}

        async def ask(owner: str) -> None:
            deployment = replace(code, owner_id=owner, version_id=f"ver_{owner}", function_id=f"fun_{owner}")
            served[owner].add(json.loads(await read(await there.ask(deployment)))["pid"])

        for owner in owners * 5:
            await ask(owner)
        assert all(len(served[owner]) == 1 for owner in owners)
        await asyncio.gather(*(ask(owner) for owner in [*owners, "eve"] * 4))
        assert not served["ann"] & served["bob"]
        assert not served["eve"] & (served["ann"] | served["bob"])
