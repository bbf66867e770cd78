"""The cache of unpacked trees: verified, made once, whole after a crash."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloudserve.core.objects.abc import Corrupt, Missing, ObjectInfo, ObjectsUnavailable
from cloudserve.core.objects.cache import TreeCache
from cloudserve.core.objects.filesystem import FilesystemObjects
from cloudserve.core.trees import pack_tree


class CountedObjects(FilesystemObjects):
    """Counts how often an object is fetched."""

    fetches = 0

    async def fetch(self, key: str, target: Path, *, sha256: str | None = None) -> ObjectInfo:
        self.fetches += 1
        return await super().fetch(key, target, sha256=sha256)


@pytest.fixture
async def objects(tmp_path: Path) -> AsyncIterator[CountedObjects]:
    """An object store with its own folder."""
    store = CountedObjects(tmp_path / "objects")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def cache(tmp_path: Path, objects: CountedObjects) -> TreeCache:
    """An empty cache."""
    return TreeCache(tmp_path / "cache", objects)


async def _put(objects: CountedObjects, tmp_path: Path, name: str, size: int = 10) -> tuple[str, str]:
    """Stores a tree of one file; returns its key and hash."""
    folder = tmp_path / f"tree-{name}"
    folder.mkdir()
    (folder / "index.cjs").write_text(name * size)
    pack_tree(folder, tmp_path / f"{name}.tar.gz")
    info = await objects.put(f"f/bundle/{name}/bundle.tar.gz", tmp_path / f"{name}.tar.gz")
    return info.key, info.sha256


def _trees(tmp_path: Path) -> set[str]:
    return {path.name for boot in (tmp_path / "cache").iterdir() for path in boot.iterdir()}


async def test_a_tree_is_fetched_once(tmp_path: Path, objects: CountedObjects, cache: TreeCache) -> None:
    """However many ask at the same time, and later."""
    key, sha256 = await _put(objects, tmp_path, "a")
    folders = await asyncio.gather(*(cache.get(key, sha256) for _ in range(20)))
    folders.append(await cache.get(key, sha256))
    assert len(set(folders)) == 1
    assert (folders[0] / "index.cjs").read_text() == "a" * 10
    assert objects.fetches == 1
    assert _trees(tmp_path) == {sha256}


async def test_caches_that_share_a_folder_agree(tmp_path: Path, objects: CountedObjects) -> None:
    """As those of two processes do: each may fetch, one tree counts, no draft is left."""
    key, sha256 = await _put(objects, tmp_path, "a")
    caches = [TreeCache(tmp_path / "cache", objects) for _ in range(8)]
    folders = await asyncio.gather(*(cache.get(key, sha256) for cache in caches))
    assert len(set(folders)) == 1
    assert _trees(tmp_path) == {sha256}


async def test_one_caller_that_gives_up_takes_nothing_from_the_others(
    tmp_path: Path, objects: CountedObjects, cache: TreeCache
) -> None:
    """The tree is made all the same."""
    key, sha256 = await _put(objects, tmp_path, "a")
    first, second = (asyncio.create_task(cache.get(key, sha256)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).is_dir()
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_corrupt_object_is_refused(tmp_path: Path, objects: CountedObjects, cache: TreeCache) -> None:
    """Damaged at rest, or another than the version names; once repaired it is served."""
    key, sha256 = await _put(objects, tmp_path, "a")
    other_key, _ = await _put(objects, tmp_path, "b")
    with pytest.raises(Corrupt):
        await cache.get(other_key, sha256)
    file = next((tmp_path / "objects").glob("f/bundle/a/*"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(Corrupt):
        await cache.get(key, sha256)
    assert _trees(tmp_path) == set()
    file.write_bytes(whole)
    assert (await cache.get(key, sha256)).is_dir()


async def test_an_object_that_is_no_archive_is_refused(
    tmp_path: Path, objects: CountedObjects, cache: TreeCache
) -> None:
    """Also when its hash is right."""
    info = await objects.put("x", b"no archive")
    with pytest.raises(Corrupt, match="can't be unpacked"):
        await cache.get("x", info.sha256)
    assert _trees(tmp_path) == set()


async def test_a_disk_that_takes_no_tree_makes_it_unavailable(tmp_path: Path, objects: CountedObjects) -> None:
    """A file stands where the cache should be."""
    (tmp_path / "cache").touch()
    key, sha256 = await _put(objects, tmp_path, "a")
    with pytest.raises(ObjectsUnavailable):
        await TreeCache(tmp_path / "cache", objects).get(key, sha256)


async def test_a_missing_object_and_a_bad_hash_are_told_apart(cache: TreeCache) -> None:
    """A hash names a folder, so that it must be one."""
    with pytest.raises(Missing):
        await cache.get("x", "0" * 64)
    with pytest.raises(ValueError, match="not a SHA-256"):
        await cache.get("x", "../../etc")


async def test_eviction_goes_by_last_use_and_spares_what_is_kept(
    tmp_path: Path, objects: CountedObjects, cache: TreeCache
) -> None:
    """The tree used longest ago goes first; one in use stays whatever the limit."""
    trees = [await _put(objects, tmp_path, name, 100_000) for name in "abc"]
    for age, (key, sha256) in enumerate(trees):
        folder = await cache.get(key, sha256)
        os.utime(folder, (1000 + age, 1000 + age))
    a, b, c = (sha256 for _, sha256 in trees)
    await cache.shrink(250_000, keep={a})
    assert _trees(tmp_path) == {a, c}
    await cache.get(*trees[1])
    await cache.shrink(250_000, keep=())
    assert _trees(tmp_path) == {b, c}
    await cache.keep_only({b})
    assert _trees(tmp_path) == {b}


async def test_what_crashes_left_is_swept_and_what_is_under_way_is_not(
    tmp_path: Path, objects: CountedObjects, cache: TreeCache
) -> None:
    """Old drafts and the trees of an earlier boot go."""
    folder = await cache.get(*await _put(objects, tmp_path, "a"))
    for name in (".old", ".new"):
        (folder.parent / name).mkdir()
        (folder.parent / name / "half").touch()
    os.utime(folder.parent / ".old", (1, 1))
    (tmp_path / "cache" / "an-earlier-boot" / folder.name).mkdir(parents=True)
    await cache.keep_only({folder.name})
    assert _trees(tmp_path) == {folder.name, ".new"}
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [folder.parent.name]
