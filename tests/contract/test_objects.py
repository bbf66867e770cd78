"""What every object store guarantees: the contract of `core.objects.abc`, line by line."""

import asyncio
import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cloudserve.core.objects.abc import Corrupt, Missing, Objects
from tests.contract.backends import ObjectsBackend

ROOT = Path(__file__).parents[2]


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("content", [b"", b"x", b"\n" * 100, bytes(range(256)) * 20_000])
async def test_an_object_comes_back_as_it_was_put(objects: Objects, tmp_path: Path, content: bytes) -> None:
    """From bytes and from a file, read at once and fetched to a file."""
    (tmp_path / "source").write_bytes(content)
    for key, given in (("f/src/1/source.tar.gz", content), ("f/src/2/source.tar.gz", tmp_path / "source")):
        info = await objects.put(key, given)
        assert (info.key, info.size, info.sha256) == (key, len(content), _hash(content))
        assert await objects.read(key) == content
        target = tmp_path / f"target-{len(key)}-{key[6]}"
        fetched = await objects.fetch(key, target, sha256=info.sha256)
        stat = await objects.stat(key)
        assert target.read_bytes() == content
        assert stat is not None
        assert (fetched.size, fetched.sha256, stat.size, stat.sha256) == (info.size, info.sha256) * 2


async def test_what_is_missing_is_told(objects: Objects, tmp_path: Path) -> None:
    """No target is left behind."""
    with pytest.raises(Missing):
        await objects.read("a/b")
    with pytest.raises(Missing):
        await objects.fetch("a/b", tmp_path / "target")
    assert not (tmp_path / "target").exists()
    assert await objects.stat("a/b") is None
    assert not await objects.delete("a/b")
    assert not await objects.touch("a/b")


@pytest.mark.parametrize(
    "key", ["", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "a b", "a@", "å", "a\n", "a\\b", "a\0"]
)
async def test_what_is_no_key_is_refused(objects: Objects, tmp_path: Path, key: str) -> None:
    """By every method."""
    for attempt in (
        objects.put(key, b""),
        objects.read(key),
        objects.fetch(key, tmp_path / "target"),
        objects.stat(key),
        objects.touch(key),
        objects.delete(key),
    ):
        with pytest.raises(ValueError, match="not a key"):
            await attempt


async def test_keys_may_begin_like_others(objects: Objects) -> None:
    """The space is flat: `a` and `a/b` are two objects, and `...` is a name like any other."""
    keys = ["a", "a/b", "a/b/c", "a-b", "a/bc", "A", "...", ".hidden/x"]
    for key in keys:
        await objects.put(key, key.encode())
    assert [await objects.read(key) for key in keys] == [key.encode() for key in keys]
    assert await objects.delete("a/b")
    assert await objects.read("a/b/c") == b"a/b/c"
    assert await objects.read("a") == b"a"


async def test_objects_are_listed_by_prefix(objects: Objects) -> None:
    """A prefix is any beginning of a key, of a segment or not."""
    keys = {"f1/src/1/s", "f1/src/12/s", "f1/bundle/1/b", "f2/src/1/s", "f10/src/1/s", "deps/x/l", "top"}
    for key in keys:
        await objects.put(key, key.encode())
    for prefix in (
        "",
        "f1",
        "f1/",
        "f1/src/1",
        "f1/src/1/",
        "f1/src/1/s",
        "f",
        "deps/x/l",
        "none/",
        "top",
        "top/",
        "../",
        "/",
        "f1//",
    ):
        found = [info async for info in objects.list(prefix)]
        assert {info.key for info in found} == {key for key in keys if key.startswith(prefix)}
        assert all((info.sha256, info.size) == (_hash(info.key.encode()), len(info.key)) for info in found)


async def test_an_object_is_replaced_whole(objects: Objects, objects_backend: ObjectsBackend) -> None:
    """A reader sees one of the contents that were put, whoever puts at the same time."""
    second = objects_backend.objects()
    await second.open()
    contents = [os.urandom(1) * (200_000 + i) for i in range(10)]
    await objects.put("k", contents[0])
    puts = asyncio.gather(*((objects, second)[i % 2].put("k", content) for i, content in enumerate(contents)))
    while not puts.done():
        assert await objects.read("k") in contents
    await puts
    assert await second.read("k") in contents
    assert len([info async for info in objects.list()]) == 1
    await second.close()


async def test_puts_and_deletes_at_once_lose_nothing(objects: Objects) -> None:
    """A delete beside a put takes nothing away from it."""

    async def come_and_go(name: str) -> None:
        for _ in range(20):
            await objects.put(f"shared/{name}/object", name.encode())
            assert await objects.read(f"shared/{name}/object") == name.encode()
            assert await objects.delete(f"shared/{name}/object")

    await asyncio.gather(*(come_and_go(str(i)) for i in range(5)))
    assert [info async for info in objects.list()] == []


async def test_a_damaged_object_is_refused(objects: Objects, objects_backend: ObjectsBackend, tmp_path: Path) -> None:
    """Nothing of it stays at the target; putting it again mends it."""
    await objects.put("a/b", b"content" * 1000)
    objects_backend.damage("a/b")
    with pytest.raises(Corrupt):
        await objects.read("a/b")
    with pytest.raises(Corrupt):
        await objects.fetch("a/b", tmp_path / "target")
    assert not any("target" in name for name in _names(tmp_path))
    await objects.put("a/b", b"content" * 1000)
    assert await objects.read("a/b") == b"content" * 1000


async def test_another_content_than_the_one_asked_for_is_refused(objects: Objects, tmp_path: Path) -> None:
    """The hash that a version names counts, not the one beside the object."""
    await objects.put("a/b", b"content")
    with pytest.raises(Corrupt):
        await objects.fetch("a/b", tmp_path / "target", sha256=_hash(b"another"))
    assert not (tmp_path / "target").exists()


async def test_a_target_that_exists_is_left_alone(objects: Objects, tmp_path: Path) -> None:
    """Fetching never replaces a file."""
    await objects.put("a/b", b"content")
    (tmp_path / "target").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        await objects.fetch("a/b", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"mine"


async def test_an_object_tells_when_it_was_put(objects: Objects) -> None:
    """In UTC; touching renews it and changes nothing else."""
    before = datetime.now(UTC) - timedelta(seconds=2)
    first = await objects.put("a/b", b"content")
    assert before < first.modified < datetime.now(UTC) + timedelta(seconds=2)
    assert await objects.touch("a/b")
    touched = await objects.stat("a/b")
    assert touched is not None
    assert touched.modified >= first.modified
    assert (touched.size, touched.sha256) == (first.size, first.sha256)
    assert await objects.read("a/b") == b"content"


async def test_a_kill_leaves_whole_objects_alone(
    objects: Objects, objects_backend: ObjectsBackend, tmp_path: Path
) -> None:
    """In the middle of a put: the object is the last that was confirmed or a later one, and nothing else is listed."""
    command = [sys.executable, "-m", "tests.contract.worker", "put", objects_backend.name, objects_backend.address, "k"]
    for rounds in (1, 3, 6):

        def write_until_killed(rounds: int = rounds) -> None:
            environment = {"PYTHONPATH": f"{ROOT / '.src'}:{ROOT}"}
            with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
                assert process.stdout is not None
                for _ in range(rounds):
                    assert process.stdout.readline()
                process.kill()

        await asyncio.to_thread(write_until_killed)
        content = await objects.read("k")
        assert len(content) == 2_600_000
        assert len({content[i : i + 26] for i in range(0, len(content), 26)}) == 1
        assert [info.key async for info in objects.list()] == ["k"]


async def test_it_can_be_closed_and_opened_again(objects: Objects) -> None:
    """And says that it is ready."""
    await objects.put("a/b", b"content")
    await objects.close()
    await objects.open()
    await objects.ping()
    assert await objects.read("a/b") == b"content"
