"""The sweeper deletes what is too old or unneeded, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cloudserve.core.models.base import utc_now
from cloudserve.core.models.function import Function
from cloudserve.core.objects.abc import ObjectInfo, Objects
from cloudserve.core.objects.filesystem import FilesystemObjects
from cloudserve.core.retention import GRACE, Retention, Swept
from cloudserve.core.store.abc import Store, Unavailable
from cloudserve.core.store.sqlite import SqliteStore
from tests.contract.records import a_build, a_function, a_log, a_session, a_usage, a_version, an_owner

DAY = timedelta(days=1)
KEEP = timedelta(days=30)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An open store."""
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def objects(tmp_path: Path) -> AsyncIterator[FilesystemObjects]:
    """An open object store."""
    objects = FilesystemObjects(tmp_path / "objects")
    await objects.open()
    yield objects
    await objects.close()


@pytest.fixture
async def function(store: Store) -> Function:
    """A function in the store."""
    owner = an_owner()
    await store.owners.add(owner)
    function = a_function(owner.id)
    await store.functions.add(function)
    return function


@pytest.fixture
def retention(store: Store, objects: FilesystemObjects) -> Retention:
    """The sweeper of that store."""
    return Retention(store, objects, keep=KEEP)


async def _keys(objects: Objects) -> set[str]:
    return {info.key async for info in objects.list()}


async def test_expired_sessions_go(store: Store, retention: Retention) -> None:
    """Those that still count stay."""
    now = utc_now()
    old, good = (a_session("o", expires_at=now + age) for age in (-DAY, DAY))
    await store.sessions.add(old)
    await store.sessions.add(good)
    assert await retention.sweep(now) == Swept(sessions=1, usages=0, logs=0, objects=0)
    assert await store.sessions.by_hash(old.token_hash) is None
    assert await store.sessions.by_hash(good.token_hash)


async def test_old_usages_go(store: Store, function: Function, retention: Retention) -> None:
    """The function's totals keep them."""
    now = utc_now()
    old, young = (a_usage(function, created_at=now - KEEP + age) for age in (-DAY, DAY))
    await store.usages.record([old, young])
    assert await retention.sweep(now) == Swept(sessions=0, usages=1, logs=0, objects=0)
    assert await store.usages.latest(function.owner_id) == [young]
    found = await store.functions.get(function.owner_id, function.id)
    assert found is not None
    assert found.stats.executed == 2


async def test_old_logs_go(store: Store, function: Function, retention: Retention) -> None:
    """Young ones stay."""
    now = utc_now()
    old, young = (a_log(function, created_at=now - KEEP + age) for age in (-DAY, DAY))
    await store.logs.record([old, young])
    assert await retention.sweep(now) == Swept(sessions=0, usages=0, logs=1, objects=0)
    assert (await store.logs.list(function.owner_id, function.id, limit=9)).rows == [young]


async def test_objects_that_nothing_refers_to_go_after_a_grace_time(
    store: Store, objects: FilesystemObjects, function: Function, retention: Retention
) -> None:
    """What a version or an unfinished build needs stays, and goes when the function has gone."""
    version = a_version(function, layer_path="deps/used/layer.tar.gz")
    build = a_build(function, 2)
    await store.versions.add(version)
    await store.builds.add(build)
    needed = {version.source_path, version.bundle_path, "deps/used/layer.tar.gz", build.source_path}
    for key in (*needed, "deps/unused/layer.tar.gz", "gone/src/1/source.tar.gz"):
        await objects.put(key, b"content")
    assert (await retention.sweep(utc_now() + GRACE - DAY / 24)).objects == 0
    later = utc_now() + GRACE + DAY
    assert (await retention.sweep(later)).objects == 2
    assert await _keys(objects) == needed
    await store.functions.delete(function.owner_id, function.id)
    assert (await retention.sweep(later)).objects == 4
    assert await _keys(objects) == set()


async def test_a_layer_that_a_build_has_just_found_stays(
    tmp_path: Path, store: Store, objects: FilesystemObjects
) -> None:
    """Touched between the sweeper's list and its delete, before the version that refers to it is there."""
    await objects.put("deps/x/layer.tar.gz", b"content")
    await asyncio.sleep(0.01)

    class BuildsMeanwhile(FilesystemObjects):
        """Touches an object once the sweeper has listed it."""

        def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
            return self._list_then_touch(prefix)

        async def _list_then_touch(self, prefix: str) -> AsyncIterator[ObjectInfo]:
            async for info in super().list(prefix):
                yield info
                assert await self.touch(info.key)

    info = await objects.stat("deps/x/layer.tar.gz")
    assert info is not None
    retention = Retention(store, BuildsMeanwhile(tmp_path / "objects"), keep=KEEP, grace=DAY)
    assert (await retention.sweep(info.modified + DAY + timedelta(milliseconds=1))).objects == 0
    assert await _keys(objects) == {"deps/x/layer.tar.gz"}


async def test_a_sweep_that_fails_is_tried_again(store: Store, objects: FilesystemObjects) -> None:
    """The task goes on when the store is away for a while."""
    swept = asyncio.Event()

    class Flaky(Retention):
        """Fails the first time."""

        failed = False

        async def sweep(self, now: datetime | None = None) -> Swept:
            if not self.failed:
                self.failed = True
                raise Unavailable("away")
            swept.set()
            return await super().sweep(now)

    retention = Flaky(store, objects, keep=KEEP, every=timedelta(milliseconds=1))
    await retention.start()
    await swept.wait()
    await retention.close()
