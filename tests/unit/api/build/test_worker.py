"""Builds are durable: one that was cut off is taken up again, a bounded number of times, and no two work on one."""

import asyncio
import contextlib
import os
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from cloudserve.api.build import worker
from cloudserve.api.build.failure import BuildFailed
from cloudserve.api.build.tools import Output
from cloudserve.api.build.worker import BuildWorker
from cloudserve.core.config import DataFolder
from cloudserve.core.models.base import utc_now
from cloudserve.core.models.function import Build, Version
from cloudserve.core.objects.abc import ObjectsUnavailable
from cloudserve.core.store.abc import Unavailable
from tests.unit.api.build.deploying import Deploying, archive, deploying
from tests.unit.api.build.waiting import has_ended, until

HELLO = "module.exports = () => 'hello';"


async def test_a_build_survives_a_platform_that_is_killed(tmp_path: Path) -> None:
    """kill -9 in the middle of npm; the next platform takes the build up, and npm is gone with the first."""
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/npm.pid\nexec sleep 600\n")
    npm.chmod(0o755)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.unit.api.build.killed", str(tmp_path / "data")),
        env={**os.environ, "PATH": f"{npm.parent}:{os.environ['PATH']}", "PYTHONPATH": ".src:."},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):  # it writes when npm has begun and the first output was kept
        function_id, build_id = (await process.stdout.readline()).decode().split()
    process.kill()
    await process.wait()
    await until(lambda: has_ended(int((tmp_path / "npm.pid").read_text())))
    async with deploying(tmp_path / "data") as one:
        function = await one.store.functions.get(one.owner.id, function_id)
        build = await one.store.builds.get(one.owner.id, build_id)
        assert function is not None
        assert build is not None
        assert (function.live_version, build.attempts) == (None, 1)
        function, build = await one.done(function, build)
        assert (build.status, build.attempts, function.live_version) == ("active", 2, 1)
        assert (await one.version(function)).lock is not None
        assert not any((DataFolder(one.settings.data_dir).work / "builds").iterdir())


async def test_a_build_that_is_cut_off_again_and_again_fails(one: Deploying) -> None:
    """After three attempts, with a word on why."""
    await one.deployments.close()
    function, build = await one.ask("hello", HELLO)
    for _ in range(worker.MAX_ATTEMPTS):
        assert await one.store.builds.claim("dead", now=utc_now(), until=utc_now() - timedelta(seconds=1))
    await one.deployments.start()
    function, build = await one.done(function, build)
    assert (build.status, function.status) == ("failed", "failed")
    assert build.error == "The build was cut off 3 times; it is not tried again."


async def test_a_build_that_is_worked_on_is_left_alone(one: Deploying) -> None:
    """Whoever holds the lease keeps it; whoever has lost it changes nothing any more."""
    await one.deployments.close()
    _, build = await one.ask("hello", HELLO)
    claimed = await one.store.builds.claim("other", now=utc_now(), until=utc_now() + timedelta(seconds=60))
    assert claimed is not None
    await one.deployments.start()
    await asyncio.sleep(0.1)
    left = await one.store.builds.get(one.owner.id, build.id)
    assert left is not None
    assert (left.status, left.claimed_by, left.attempts) == ("deploying", "other", 1)


async def test_a_platform_that_stops_gives_its_builds_back(one: Deploying) -> None:
    """The next one takes them up at once, without waiting for the lease to run out."""
    manifest = '{"dependencies": {"is-number": "7.0.0"}}'
    function, build = await one.ask("hello", archive(package__json=manifest, index__js=HELLO))
    async with asyncio.timeout(10):
        while build.status == "pending":
            await asyncio.sleep(0.005)
            build = await one.store.builds.get(one.owner.id, build.id) or build
    await one.deployments.close()
    assert await one.store.builds.claim("next", now=utc_now() + timedelta(seconds=1), until=utc_now()) is not None
    await one.deployments.start()
    function, build = await one.done(function, build)
    assert (build.status, function.live_version) == ("active", 1)


async def test_a_lost_lease_ends_the_work(one: Deploying, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one's result stands; this one's work is cancelled."""
    monkeypatch.setattr(worker, "EXTEND_SECONDS", 0.05)
    await one.deployments.close()
    cancelled = asyncio.Event()

    async def make(build: Build, output: Output) -> Version:
        later = utc_now() + timedelta(minutes=1)
        assert await one.store.builds.claim("thief", now=later, until=later + timedelta(minutes=1)) is not None
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()
        raise AssertionError("it was not cancelled")

    _, build = await one.ask("hello", HELLO)
    slow = BuildWorker(one.store, make)
    slow.start()
    async with asyncio.timeout(10):
        await cancelled.wait()
    await slow.close()
    left = await one.store.builds.get(one.owner.id, build.id)
    assert left is not None
    assert (left.status, left.claimed_by) == ("deploying", "thief")


async def test_a_step_may_be_repeated(one: Deploying) -> None:
    """A platform that is killed after the version went live, before the build was closed, ends in the same place."""
    function, build = await one.deploy("hello", HELLO)
    await one.deployments.close()
    repeated = build.model_copy(
        update={"id": "0" * 26, "status": "pending", "finished_at": None, "claimed_until": None, "attempts": 0}
    )
    await one.store.builds.add(repeated)
    await one.deployments.start()
    function, again = await one.done(function, repeated)
    assert (again.status, function.live_version, function.status) == ("active", 1, "active")


async def test_trouble_of_the_platform_is_tried_again(one: Deploying, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is away fails no build: its lease runs out, and it is taken up again."""
    monkeypatch.setattr(worker, "LEASE_SECONDS", 0.05)
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.05)
    await one.deployments.close()
    tries: list[int] = []

    async def make(build: Build, output: Output) -> Version:
        tries.append(build.attempts)
        if len(tries) == 1:
            raise Unavailable("away")
        raise BuildFailed("and now it is the code")

    function, build = await one.ask("hello", HELLO)
    patient = BuildWorker(one.store, make)
    patient.start()
    function, build = await one.done(function, build)
    await patient.close()
    assert (tries, build.error, function.deploy_error) == ([1, 2], "and now it is the code", "and now it is the code")


async def test_a_build_waits_for_an_object_store_that_is_away(one: Deploying, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long: it goes on in the same attempt when the object store is back, and its output says so once."""
    monkeypatch.setattr(worker, "OBJECTS_SECONDS", 0.01)
    await one.deployments.close()
    tries: list[int] = []

    async def make(build: Build, output: Output) -> Version:
        tries.append(build.attempts)
        if len(tries) <= 2 * worker.MAX_ATTEMPTS:
            raise ObjectsUnavailable("away")
        raise BuildFailed("and now it is the code")

    function, build = await one.ask("hello", HELLO)
    patient = BuildWorker(one.store, make)
    patient.start()
    function, build = await one.done(function, build)
    await patient.close()
    assert set(tries) == {1}
    assert build.error == "and now it is the code"
    assert build.output.count("The object store can't be reached just now") == 1


@pytest.mark.parametrize(("lease", "attempts"), [(60.0, [1]), (0.1, [1, 2])])
async def test_a_build_goes_on_while_the_store_is_away_until_its_lease_runs_out(
    one: Deploying, monkeypatch: pytest.MonkeyPatch, lease: float, attempts: list[int]
) -> None:
    """Then it may be another's, and is given up."""
    monkeypatch.setattr(worker, "EXTEND_SECONDS", 0.02)
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(worker, "LEASE_SECONDS", lease)
    await one.deployments.close()
    function, build = await one.ask("hello", HELLO)
    tries: list[int] = []
    extend = one.store.builds.extend

    async def away(*_values: object, **_more: object) -> bool:
        raise Unavailable("gone")

    async def make(build: Build, output: Output) -> Version:
        tries.append(build.attempts)
        if len(tries) == 1:
            monkeypatch.setattr(one.store.builds, "extend", away)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await asyncio.Event().wait()
        monkeypatch.setattr(one.store.builds, "extend", extend)
        raise BuildFailed("enough")

    patient = BuildWorker(one.store, make)
    patient.start()
    await asyncio.sleep(0.6)
    monkeypatch.setattr(one.store.builds, "extend", extend)
    await one.done(function, build)
    await patient.close()
    assert tries == attempts


async def test_an_error_of_the_platform_itself_ends_after_three_attempts(
    one: Deploying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user reads that it is not the code; the log has the stack."""
    monkeypatch.setattr(worker, "LEASE_SECONDS", 0.05)
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.05)
    await one.deployments.close()

    async def make(build: Build, output: Output) -> Version:
        raise ZeroDivisionError

    function, build = await one.ask("hello", HELLO)
    failing = BuildWorker(one.store, make)
    failing.start()
    _, build = await one.done(function, build)
    await failing.close()
    assert (build.attempts, build.error) == (3, "The platform could not build this version. Its log says more.")


async def test_two_builds_at_once_and_no_more(one: Deploying) -> None:
    """However many are asked for."""
    await one.deployments.close()
    running, most = 0, 0

    async def make(build: Build, output: Output) -> Version:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1
        raise BuildFailed("enough")

    asked = [await one.ask(f"f{number}", HELLO) for number in range(5)]
    busy = BuildWorker(one.store, make)
    busy.start()
    for function, build in asked:
        await one.done(function, build)
    await busy.close()
    assert most == worker.BUILDS_AT_ONCE
