"""Imports into homes that are not empty: what is there stays, and what is in the way is named."""

import tracemalloc
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from cloudserve.core.ids import new_id
from cloudserve.core.models.owner import Owner
from cloudserve.core.store.abc import Taken
from cloudserve.core.transfer.exported import ExportFile
from cloudserve.core.transfer.failures import Conflicting, Damaged, TransferError, WrongPassphrase
from cloudserve.core.transfer.home import Home
from cloudserve.core.transfer.importing import import_
from tests.contract.records import NOW, a_build, a_function, a_key, a_version, an_owner
from tests.homes import (
    PASSPHRASE,
    content,
    fill,
    imported,
    is_empty,
    local_home,
    put_function,
    put_secret,
    put_version,
    written,
)

MEBIBYTE = 1024 * 1024


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[Home]:
    """The home that is exported."""
    async with local_home(tmp_path / "origin") as home:
        yield home


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[Home]:
    """The home that it goes to."""
    async with local_home(tmp_path / "target") as home:
        yield home


@pytest.fixture
async def ann(origin: Home) -> Owner:
    """A user of the first one."""
    owner = an_owner("ann", email="ann@example.org", google_subject="7")
    await origin.store.owners.add(owner)
    return owner


async def _conflicts(home: Home, file: Path, *merge: str) -> list[str]:
    before = await content(home)
    with pytest.raises(Conflicting) as refusal:
        await imported(home, file, merge=merge)
    assert await content(home) == before
    return [str(conflict) for conflict in refusal.value.conflicts]


async def test_a_dry_run_tells_what_would_be_added_and_adds_nothing(origin: Home, target: Home, tmp_path: Path) -> None:
    """In the same words as the import after it."""
    await fill(origin)
    file = await written(origin, tmp_path / "file.tar")
    told = await imported(target, file, dry_run=True)
    assert await is_empty(target)
    assert told == await imported(target, file)
    counts = (told.added.owners, told.added.keys, told.added.functions, told.added.versions, told.added.secrets)
    assert counts == (2, 4, 3, 3, 2)
    assert (told.added.builds, told.added.calls, told.added.objects) == (3, 16, 7)
    again = await imported(target, file, dry_run=True)
    assert (again.there.functions, again.there.keys, again.added.functions, again.added.keys) == (3, 4, 0, 0)


@pytest.mark.parametrize(
    "case",
    [
        ({"name": "ann"}, "the name ann belongs to ann here"),
        ({"name": "bob", "email": "ANN@example.org"}, "the mail address ann@example.org belongs to bob here"),
        ({"name": "bob", "google_subject": "7"}, "the Google account 7 belongs to bob here"),
    ],
)
async def test_an_owner_that_another_is_in_the_way_of_is_refused(
    origin: Home, target: Home, ann: Owner, tmp_path: Path, case: tuple[dict[str, str], str]
) -> None:
    """With the name of the row and what to do."""
    obstacle, what = case
    await put_function(origin, ann)
    await target.store.owners.add(an_owner(**obstacle))
    (conflict,) = await _conflicts(target, await written(origin, tmp_path / "file.tar"))
    assert conflict.startswith("the user ann: ")
    assert what in conflict
    assert "Remedy: " in conflict


async def test_owners_of_one_name_can_be_merged(origin: Home, target: Home, ann: Owner, tmp_path: Path) -> None:
    """The one here keeps its row and its default key, and has the keys and functions of the one there, once."""
    function = await put_function(origin, ann)
    key = a_key(ann.id, kind="default")
    await origin.store.keys.add(key)
    here, own = an_owner("ann", email="ann@example.org"), None
    await target.store.owners.add(here)
    await target.store.keys.add(own := a_key(here.id, kind="default"))
    file = await written(origin, tmp_path / "file.tar")
    for _ in range(2):
        assert (await imported(target, file, merge=["ann"])).merged == ["ann"]
    assert await target.store.owners.get(ann.id) is None
    moved = key.model_copy(update={"owner_id": here.id, "kind": "named"})
    assert {row.id: row for row in await target.store.keys.list(here.id)} == {own.id: own, key.id: moved}
    found = await target.store.functions.get(here.id, function.id)
    assert found == function.model_copy(update={"owner_id": here.id})
    versions = await target.store.versions.list(here.id, function.id)
    assert [(version.number, version.created_by) for version in versions] == [(2, here.id), (1, here.id)]
    assert len((await target.store.usages.list(here.id, function.id, limit=99)).rows) == 7


async def test_only_owners_that_are_named_are_merged(origin: Home, target: Home, ann: Owner, tmp_path: Path) -> None:
    """A name that is the same says little about who has it."""
    await target.store.owners.add(an_owner("ann"))
    (conflict,) = await _conflicts(target, await written(origin, tmp_path / "file.tar"), "bob")
    assert "repeat it with --merge-owner ann, if both are the same user" in conflict


async def test_a_team_is_not_merged_with_a_user(origin: Home, target: Home, ann: Owner, tmp_path: Path) -> None:
    """The name alone does not make them the same."""
    await target.store.owners.add(an_owner("ann", kind="team"))
    (conflict,) = await _conflicts(target, await written(origin, tmp_path / "file.tar"), "ann")
    assert "the name ann belongs to ann here" in conflict


async def test_every_conflict_is_told_at_once(origin: Home, target: Home, ann: Owner, tmp_path: Path) -> None:
    """Of owners, keys and functions, of as many as there are."""
    bob = an_owner("bob")
    await origin.store.owners.add(bob)
    await target.store.owners.add(ann)
    for home, owner in ((origin, ann), (target, ann)):
        await home.store.keys.add(a_key(owner.id, key_hash="ab" * 32, hint="csk_…wxyz"))
        await home.store.functions.add(a_function(owner.id, "hello"))
    await target.store.owners.add(an_owner("bob"))
    conflicts = await _conflicts(target, await written(origin, tmp_path / "file.tar"))
    assert sorted(conflict.partition(":")[0] for conflict in conflicts) == [
        "the function ann/hello",
        "the key csk_…wxyz",
        "the user bob",
    ]


async def test_what_has_gone_on_here_stays(origin: Home, target: Home, ann: Owner, tmp_path: Path) -> None:
    """A name, a pause, a later version, a new default key and a new secret are not taken back."""
    function = await put_function(origin, ann)
    await origin.store.keys.add(a_key(ann.id, kind="default"))
    file = await written(origin, tmp_path / "file.tar")
    await imported(target, file)
    ids = (ann.id, function.id)
    await target.store.owners.update(ann.model_copy(update={"full_name": "Ann", "password_hash": None}))
    await target.store.keys.replace_default(a_key(ann.id, kind="default"))
    await target.store.functions.set_active(*ids, False)
    await target.store.functions.next_version(*ids)
    await target.store.versions.add(a_version(function, 3))
    await target.store.functions.go_live(*ids, number=3, sequence=3, at=NOW)
    await put_secret(target, function, value="another")
    before = await content(target)
    await imported(target, file)
    assert await content(target) == before


async def test_a_function_that_went_on_there_is_refused(origin: Home, target: Home, ann: Owner, tmp_path: Path) -> None:
    """An import only adds: a later deploy of what was imported before would have to change it."""
    function = await put_function(origin, ann, "hello")
    await imported(target, await written(origin, tmp_path / "first.tar"))
    await origin.store.functions.next_version(ann.id, function.id)
    (conflict,) = await _conflicts(target, await written(origin, tmp_path / "second.tar"))
    assert conflict.startswith("the function ann/hello: it was imported before, and deployed again there since.")


async def test_another_version_of_the_same_number_is_refused(
    origin: Home, target: Home, ann: Owner, tmp_path: Path
) -> None:
    """Versions are immutable: neither takes the other's place."""
    function = await put_function(origin, ann, "hello")
    await imported(target, await written(origin, tmp_path / "first.tar"))
    for home in (origin, target):
        await home.store.functions.next_version(ann.id, function.id)
        newest = (await home.store.versions.list(ann.id, function.id))[0]
        await home.store.versions.add(newest.model_copy(update={"number": 3, "id": new_id()}))
    (conflict,) = await _conflicts(target, await written(origin, tmp_path / "second.tar"))
    assert "it has another version 3 here" in conflict


async def test_a_layer_of_another_content_gets_a_place_of_its_own(
    origin: Home, target: Home, ann: Owner, tmp_path: Path
) -> None:
    """Both platforms' versions find the bytes that they were made with."""
    await put_function(origin, ann, versions=1)
    bob = an_owner("bob")
    await target.store.owners.add(bob)
    theirs = await put_function(target, bob, versions=1)
    (version,) = await target.store.versions.list(bob.id, theirs.id)
    assert version.layer_path is not None
    await target.objects.put(version.layer_path, b"packed elsewhere")
    file = await written(origin, tmp_path / "file.tar")
    for _ in range(2):
        await imported(target, file)
    function = (await target.store.functions.list(ann.id))[0]
    (moved,) = await target.store.versions.list(ann.id, function.id)
    assert moved.layer_path is not None
    assert moved.layer_path != version.layer_path
    info = await target.objects.stat(moved.layer_path)
    assert info is not None
    assert info.sha256 == moved.layer_hash
    assert await target.objects.read(version.layer_path) == b"packed elsewhere"
    assert moved.layer_path in await target.store.versions.referenced_objects()


async def test_objects_that_are_there_are_spared_by_collection(
    origin: Home, target: Home, ann: Owner, tmp_path: Path
) -> None:
    """As new as those just put."""
    await put_function(origin, ann)
    await target.store.owners.add(bob := an_owner("bob"))
    await put_function(target, bob)
    layer = f"deps/{'d' * 64}/layer.tar.gz"
    before = await target.objects.stat(layer)
    assert before is not None
    told = await imported(target, await written(origin, tmp_path / "file.tar"))
    after = await target.objects.stat(layer)
    assert after is not None
    assert after.modified >= before.modified
    assert told.there.objects == 1


async def test_a_build_that_waits_is_taken_up_where_it_goes(
    origin: Home, target: Home, ann: Owner, tmp_path: Path
) -> None:
    """With its sources; builds of the past come as they are."""
    function = await put_function(origin, ann)
    await origin.store.functions.next_version(ann.id, function.id)
    stored = await origin.objects.put(f"{function.id}/src/3/source.tar.gz", b"sources")
    waiting = a_build(function, 3, source_path=stored.key, source_hash=stored.sha256)
    await origin.store.builds.add(waiting)
    await imported(target, await written(origin, tmp_path / "file.tar"))
    claimed = await target.store.builds.claim("worker", now=NOW, until=NOW + timedelta(seconds=9))
    assert claimed is not None
    assert claimed.id == waiting.id
    assert await target.objects.read(claimed.source_path) == b"sources"


async def test_without_history_no_record_of_a_call_goes_along(
    origin: Home, target: Home, ann: Owner, tmp_path: Path
) -> None:
    """The totals of a function do."""
    function = await put_function(origin, ann)
    await imported(target, await written(origin, tmp_path / "file.tar", history=False))
    assert await content(target, history=False) == await content(origin, history=False)
    assert await target.store.usages.latest(ann.id) == []
    found = await target.store.functions.get(ann.id, function.id)
    assert found is not None
    assert found.stats.executed == 7


async def test_a_wrong_passphrase_opens_nothing(origin: Home, ann: Owner, tmp_path: Path) -> None:
    """Whether or not there are secrets in the file."""
    file = await written(origin, tmp_path / "file.tar")
    with pytest.raises(WrongPassphrase, match="Remedy"):
        ExportFile.open(file, passphrase=PASSPHRASE + "!")


async def test_settings_that_differ_are_told(origin: Home, target: Home, tmp_path: Path) -> None:
    """Those that functions and accounts meet; defaults are compared too, and what suits one host is not."""
    there = Home(origin.store, origin.objects, origin.sealer, {"max_body_mb": 50, "port": 1, "rate_burst": 100})
    here = Home(target.store, target.objects, target.sealer, {"signup": "open", "data_dir": "/elsewhere"})
    told = await imported(here, await written(there, tmp_path / "file.tar"))
    assert told.settings == {"signup": ("closed", "open"), "max_body_mb": (50, 10)}


async def test_rows_that_come_up_meanwhile_are_told(
    origin: Home, target: Home, ann: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loser of a race is told to look again."""
    await put_function(origin, ann)
    file = await written(origin, tmp_path / "file.tar")

    async def taken(*_: object) -> None:
        raise Taken("name")

    monkeypatch.setattr(target.store.functions, "add", taken)
    with pytest.raises(TransferError, match=r"name is taken.*import again"):
        await imported(target, file)
    monkeypatch.undo()
    await imported(target, file)
    assert await content(target) == await content(origin)


async def test_a_file_that_changes_under_an_import_is_noticed(
    origin: Home, target: Home, ann: Owner, tmp_path: Path
) -> None:
    """What does not match its hash does not stay."""
    await put_function(origin, ann)
    file = await written(origin, tmp_path / "file.tar")
    exported = ExportFile.open(file, passphrase=PASSPHRASE)
    with file.open("r+b") as damaging:
        damaging.seek(file.read_bytes().index(b"source 1source"))
        damaging.write(b"S")
    with pytest.raises(Damaged, match="changed after it was checked"):
        await import_(target, exported)
    exported.close()
    assert (await target.store.owners.list(limit=9)).rows == []


async def test_functions_keep_their_owner_s_order(origin: Home, target: Home, tmp_path: Path) -> None:
    """The first administrator stays the first."""
    owners = [an_owner(is_admin=number == 3) for number in range(300)]
    for owner in owners:
        await origin.store.owners.add(owner)
    await imported(target, await written(origin, tmp_path / "file.tar"))
    assert [owner.id for owner in (await target.store.owners.list(limit=999)).rows] == [o.id for o in owners[::-1]]


async def test_a_big_layer_goes_through_in_pieces(origin: Home, target: Home, ann: Owner, tmp_path: Path) -> None:
    """Neither end holds more of it in memory than a few chunks."""
    function = a_function(ann.id, "hello")
    await origin.store.functions.add(function)
    (tmp_path / "layer").write_bytes(bytes(48 * MEBIBYTE))
    layer = await origin.objects.put("deps/big/layer.tar.gz", tmp_path / "layer")
    version = await put_version(origin, function)
    big = {"number": 2, "id": new_id(), "layer_path": layer.key, "layer_hash": layer.sha256}
    await origin.store.functions.next_version(ann.id, function.id)
    await origin.store.functions.next_version(ann.id, function.id)
    await origin.store.versions.add(version.model_copy(update=big))
    tracemalloc.start()
    try:
        await imported(target, await written(origin, tmp_path / "file.tar"))
        assert tracemalloc.get_traced_memory()[1] < 16 * MEBIBYTE
    finally:
        tracemalloc.stop()
    assert await target.objects.stat(layer.key) is not None
