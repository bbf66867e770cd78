"""Exports: one whole file or none, nothing secret in it, and right while the platform is in use."""

import gzip
import json
import tarfile
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from cloudserve.core.models.function import Function
from cloudserve.core.models.owner import Owner
from cloudserve.core.transfer.exporting import export
from cloudserve.core.transfer.failures import TransferError
from cloudserve.core.transfer.home import Home
from cloudserve.core.transfer.passphrase import MIN_LENGTH
from tests.contract.records import NOW, a_build, a_key, a_usage, an_owner
from tests.homes import SECRET, content, fill, imported, local_home, put_function, put_version, written


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    """The home that is exported."""
    async with local_home(tmp_path / "home") as home:
        yield home


@pytest.fixture
async def ann(home: Home) -> Owner:
    """A user of it."""
    owner = an_owner("ann")
    await home.store.owners.add(owner)
    return owner


def _rows(file: Path) -> list[dict[str, Any]]:
    with tarfile.open(file) as tar:
        rows = tar.extractfile("rows.jsonl.gz")
        assert rows is not None
        return [json.loads(line) for line in gzip.decompress(rows.read()).splitlines()]


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_a_file_is_for_its_owner_alone_and_holds_no_secret(home: Home, tmp_path: Path) -> None:
    """Nor anything that this home's key opens; hashes of passwords and keys are in it, to be worth something."""
    _, function = await fill(home)
    file = await written(home, tmp_path / "file.tar")
    assert file.stat().st_mode & 0o777 == 0o600
    rows = _rows(file)
    text = json.dumps(rows, ensure_ascii=False) + file.read_bytes().decode("latin-1")
    assert SECRET not in text
    (secret,) = await home.store.secrets.list(function.owner_id, function.id)
    sealed = [row["function"]["secrets"] for row in rows if "function" in row]
    assert secret.ciphertext.hex() not in text
    assert [len(secrets) for secrets in sealed] == [0, 1, 1]
    assert {row["owner"]["owner"].get("passwordHash") for row in rows if "owner" in row} == {"$argon2id$hash", None}


async def test_machine_keys_stay(home: Home, ann: Owner, tmp_path: Path) -> None:
    """They open the platform that they were made for."""
    await home.store.keys.add(a_key(ann.id, kind="machine"))
    await home.store.keys.add(named := a_key(ann.id))
    (row,) = _rows(await written(home, tmp_path / "file.tar"))
    assert [key["_id"] for key in row["owner"]["keys"]] == [named.id]


async def test_a_file_that_exists_stays(home: Home, tmp_path: Path) -> None:
    """It may be the last copy of something."""
    (tmp_path / "file.tar").write_text("mine")
    with pytest.raises(FileExistsError):
        await written(home, tmp_path / "file.tar")
    assert (tmp_path / "file.tar").read_text() == "mine"


async def test_a_short_passphrase_is_refused(home: Home, tmp_path: Path) -> None:
    """With the limit and the remedy."""
    with pytest.raises(TransferError, match=rf"must have {MIN_LENGTH} or more. Remedy"):
        await export(home, tmp_path / "file.tar", passphrase="x" * (MIN_LENGTH - 1))


async def test_nothing_of_a_failure_stays(home: Home, ann: Owner, tmp_path: Path) -> None:
    """An object that is lost is named, with its function; no draft is left behind."""
    function = await put_function(home, ann, "hello")
    await home.objects.delete(f"{function.id}/bundle/1/bundle.tar.gz")
    with pytest.raises(TransferError, match=rf"{function.id}/bundle/1/bundle.tar.gz of the function hello is missing"):
        await written(home, tmp_path / "file.tar")
    assert _names(tmp_path) == ["home"]


async def test_a_damaged_object_is_not_carried(home: Home, ann: Owner, tmp_path: Path) -> None:
    """The version that it belongs to could not be loaded there either."""
    function = await put_function(home, ann, "hello")
    file = tmp_path / "home" / "objects" / function.id / "bundle" / "2" / "bundle.tar.gz@"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(TransferError, match="of the function hello"):
        await written(home, tmp_path / "file.tar")


async def test_a_secret_of_another_key_is_named(home: Home, ann: Owner, tmp_path: Path) -> None:
    """It is no use here either."""
    await put_function(home, ann, "hello")
    async with local_home(tmp_path / "home") as other:
        with pytest.raises(TransferError, match="secret TOKEN of the function hello can't be opened"):
            await written(other, tmp_path / "file.tar")


async def test_sources_of_a_failed_newest_build_go_along(home: Home, ann: Owner, tmp_path: Path) -> None:
    """Its owner sees them and deploys again; those of an older build are not needed."""
    function = await put_function(home, ann, versions=1)
    stored = [await home.objects.put(f"{function.id}/src/{number}/s", b"%d" % number) for number in (2, 3)]
    for number, info in enumerate(stored, 2):
        await home.store.functions.next_version(ann.id, function.id)
        build = a_build(function, number, status="failed", source_path=info.key, source_hash=info.sha256)
        await home.store.builds.add(build)
    file = await written(home, tmp_path / "file.tar")
    async with local_home(tmp_path / "target") as target:
        await imported(target, file)
        assert await target.objects.read(stored[1].key) == b"3"
        assert await target.objects.stat(stored[0].key) is None


def _meanwhile(home: Home, monkeypatch: pytest.MonkeyPatch, deed: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Has something happen once, after builds and before versions are read."""
    original = home.store.versions.list
    done = False

    async def listing(owner_id: str, function_id: str) -> Any:
        nonlocal done
        if not done:
            done = True
            await deed()
        return await original(owner_id, function_id)

    monkeypatch.setattr(home.store.versions, "list", listing)


async def test_a_deploy_that_goes_live_meanwhile_is_whole_or_not_there(
    home: Home, ann: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The live version is always among the versions, and the numbers agree."""
    function = await put_function(home, ann)

    async def deploy() -> None:
        await home.store.functions.next_version(ann.id, function.id)
        await put_version(home, function, 3)
        await home.store.functions.go_live(ann.id, function.id, number=3, sequence=3, at=NOW)

    _meanwhile(home, monkeypatch, deploy)
    file = await written(home, tmp_path / "file.tar")
    async with local_home(tmp_path / "target") as target:
        await imported(target, file)
        assert await content(target) == await content(home)


async def test_a_function_that_is_deleted_meanwhile_is_left_out(
    home: Home, ann: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so are its objects, if they were collected already."""
    functions: list[Function] = [await put_function(home, ann) for _ in range(2)]

    async def delete() -> None:
        await home.store.functions.delete(ann.id, functions[1].id)
        for name in ("source", "bundle"):
            await home.objects.delete(f"{functions[1].id}/{name}/1/{name}.tar.gz")

    _meanwhile(home, monkeypatch, delete)
    file = await written(home, tmp_path / "file.tar")
    assert [row["function"]["function"]["_id"] for row in _rows(file) if "function" in row] == [functions[0].id]


async def test_objects_that_are_collected_between_rows_and_objects_are_looked_for_again(
    home: Home, ann: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function that was deleted after its rows were read is left out, and fails nothing."""
    function = await put_function(home, ann)
    original = home.objects.fetch

    async def fetch(key: str, target: Path, *, sha256: str | None = None) -> Any:
        await home.store.functions.delete(ann.id, function.id)
        await home.objects.delete(key)
        return await original(key, target, sha256=sha256)

    monkeypatch.setattr(home.objects, "fetch", fetch)
    file = await written(home, tmp_path / "file.tar")
    assert [list(row) for row in _rows(file)] == [["owner"]]


async def test_calls_meanwhile_hold_nothing_up(
    home: Home, ann: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stats change all the time; they are no change of the function."""
    function = await put_function(home, ann)
    original, reads = home.store.versions.list, 0

    async def listing(owner_id: str, function_id: str) -> Any:
        nonlocal reads
        reads += 1
        await home.store.usages.record([a_usage(function)])
        return await original(owner_id, function_id)

    monkeypatch.setattr(home.store.versions, "list", listing)
    await written(home, tmp_path / "file.tar")
    assert reads == 1


async def test_a_function_that_never_holds_still_is_named(
    home: Home, ann: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than exported as it never was."""
    monkeypatch.setattr("cloudserve.core.transfer.snapshots._PAUSE_SECONDS", 0)
    function = await put_function(home, ann, "hello")
    original = home.store.versions.list

    async def listing(owner_id: str, function_id: str) -> Any:
        await home.store.functions.next_sequence(ann.id, function.id)
        return await original(owner_id, function_id)

    monkeypatch.setattr(home.store.versions, "list", listing)
    with pytest.raises(TransferError, match="was deployed again and again"):
        await written(home, tmp_path / "file.tar")
