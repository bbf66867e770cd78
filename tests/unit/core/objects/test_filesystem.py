"""What is particular to objects in a folder; what holds for all is in `tests/contract/test_objects.py`."""

import os
import resource
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloudserve.core.objects.abc import Corrupt, ObjectsUnavailable
from cloudserve.core.objects.filesystem import FilesystemObjects


@pytest.fixture
async def objects(tmp_path: Path) -> AsyncIterator[FilesystemObjects]:
    """An open object store."""
    objects = FilesystemObjects(tmp_path / "objects")
    await objects.open()
    yield objects
    await objects.close()


@pytest.mark.parametrize("left", [b"", b"short", b"x" * 65, b"\xff" * 100])
async def test_a_file_without_a_hash_is_corrupt(tmp_path: Path, objects: FilesystemObjects, left: bytes) -> None:
    """It is listed, so that it can be deleted, and hinders nobody."""
    await objects.put("a/b", b"content")
    (tmp_path / "objects" / "a" / "b@").write_bytes(left)
    with pytest.raises(Corrupt):
        await objects.read("a/b")
    with pytest.raises(Corrupt):
        await objects.fetch("a/b", tmp_path / "target")
    assert [info.key async for info in objects.list()] == ["a/b"]
    assert await objects.delete("a/b")


async def test_drafts_that_a_crash_left_go_at_the_next_start(tmp_path: Path, objects: FilesystemObjects) -> None:
    """Young ones may be another process's at work."""
    drafts = tmp_path / "objects" / "@drafts"
    for name in ("old", "young"):
        (drafts / name).touch()
    os.utime(drafts / "old", (1, 1))
    await objects.open()
    assert [path.name for path in drafts.iterdir()] == ["young"]
    assert [info.key async for info in objects.list()] == []


async def test_folders_go_with_their_last_object(tmp_path: Path, objects: FilesystemObjects) -> None:
    """A platform that lives for years does not fill up with empty folders."""
    await objects.put("f/src/1/source.tar.gz", b"")
    await objects.put("f/src/2/source.tar.gz", b"")
    await objects.delete("f/src/1/source.tar.gz")
    assert [path.name for path in (tmp_path / "objects" / "f" / "src").iterdir()] == ["2"]
    await objects.delete("f/src/2/source.tar.gz")
    assert [path.name for path in (tmp_path / "objects").iterdir()] == ["@drafts"]


async def test_only_its_owner_may_read_the_folder(tmp_path: Path, objects: FilesystemObjects) -> None:
    """Sources are private."""
    await objects.put("a/b", b"")
    for folder in (tmp_path / "objects", tmp_path / "objects" / "a"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_a_folder_that_has_gone_is_unavailable(tmp_path: Path, objects: FilesystemObjects) -> None:
    """Until it is made again."""
    (tmp_path / "objects" / "@drafts").rmdir()
    with pytest.raises(ObjectsUnavailable):
        await objects.ping()
    await objects.open()
    await objects.ping()


async def test_a_disk_that_takes_no_more_makes_objects_unavailable(tmp_path: Path, objects: FilesystemObjects) -> None:
    """What was there stays, no draft is left, and there is still reading."""
    await objects.put("a/b", b"content")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(ObjectsUnavailable, match="can't be used"):
            await objects.put("a/b", b"x" * 200_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert await objects.read("a/b") == b"content"
    assert list((tmp_path / "objects" / "@drafts").iterdir()) == []
