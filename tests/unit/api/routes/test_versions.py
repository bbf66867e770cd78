"""Versions that were built, and going back to one."""

import pytest

from cloudserve.core.models.base import utc_now
from cloudserve.core.models.function import Function, Version, VersionSpec
from tests.unit.api.support import Platform, User


@pytest.fixture
async def function(platform: Platform, ada: User) -> Function:
    """A function with two versions, of which the second is live."""
    made = await platform.function_of(ada)
    for _ in range(2):
        taken = await platform.store.functions.next_version(ada.id, made.id)
        assert taken is not None
        number, sequence = taken
        spec = VersionSpec(runtime="node", language="javascript", entry="a.js", environment={"A": "hidden value"})
        version = Version(
            function_id=made.id,
            owner_id=ada.id,
            number=number,
            spec=spec,
            source_path=f"{made.id}/src/{number}/source.tar.gz",
            source_hash="aa",
            bundle_path=f"{made.id}/bundle/{number}/bundle.tar.gz",
            bundle_hash="bb",
            bundle_entry="index.cjs",
            dep_hash="cc",
            created_by=ada.id,
        )
        await platform.store.versions.add(version)
        await platform.store.functions.go_live(ada.id, made.id, number=number, sequence=sequence, at=utc_now())
    return made


async def test_versions_are_listed_newest_first(ada: User, function: Function) -> None:
    """The live one is marked; no value of the environment is shown."""
    answer = await ada.http.get(f"/api/functions/{function.id}/versions")
    versions = answer.json()["versions"]
    assert [(version["version"], version["isLive"]) for version in versions] == [(2, True), (1, False)]
    assert versions[0]["environment"] == ["A"]
    assert "hidden value" not in answer.text
    assert (await ada.http.get(f"/api/functions/{function.id}/versions/1")).json() == {"version": versions[1]}


@pytest.mark.parametrize(("number", "status"), [("3", 404), ("0", 422), ("x", 422), ("99999999999999999999", 422)])
async def test_a_version_that_is_not_there(ada: User, function: Function, number: str, status: int) -> None:
    """Is not found; what can be no number is told apart."""
    assert (await ada.http.get(f"/api/functions/{function.id}/versions/{number}")).status_code == status


async def test_a_function_shows_its_live_version(ada: User, function: Function) -> None:
    """Its paths and hashes follow a rollback."""
    shown = (await ada.http.get(f"/api/functions/{function.id}")).json()["function"]
    assert (shown["version"], shown["sourcePath"]) == (2, f"{function.id}/src/2/source.tar.gz")
    assert (shown["sourceHash"], shown["bundleHash"], shown["depHash"]) == ("aa", "bb", "cc")
    answer = await ada.http.post(f"/api/functions/{function.id}/rollback", json={"version": 1})
    assert answer.status_code == 200
    back = answer.json()["function"]
    assert (back["version"], back["latestVersion"], back["sourcePath"]) == (1, 2, f"{function.id}/src/1/source.tar.gz")


async def test_there_is_no_going_back_to_nothing(ada: User, function: Function) -> None:
    """What is live stays live."""
    assert (await ada.http.post(f"/api/functions/{function.id}/rollback", json={"version": 9})).status_code == 404
    assert (await ada.http.post(f"/api/functions/{function.id}/rollback", json={"version": "1"})).status_code == 422
    assert (await ada.http.get(f"/api/functions/{function.id}")).json()["function"]["version"] == 2
