"""A deploy becomes a live version, or says why not and changes nothing."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from cloudserve.api.build.request import ArchiveUpload, SingleFile
from cloudserve.core.errors import Problem
from cloudserve.core.models.base import utc_now
from cloudserve.core.models.function import Build, Egress, Function, Limits, Version
from cloudserve.core.objects.abc import ObjectsUnavailable
from cloudserve.core.store.abc import Unavailable
from tests.unit.api.build.deploying import Deploying, archive, deploying

HELLO = "module.exports = () => 'hello';"
BROKEN = "module.exports = ("


async def refused(one: Deploying, name: str, upload: Any = HELLO, **values: Any) -> Problem:
    """Returns the 422 of a deploy, which leaves no row and no object."""
    before = await one.keys(), await one.store.functions.list(one.owner.id)
    with pytest.raises(Problem) as raised:
        await one.ask(name, upload, **values)
    assert raised.value.status == 422
    assert raised.value.errors[0].remedy
    assert (await one.keys(), await one.store.functions.list(one.owner.id)) == before
    return raised.value


async def test_a_deploy_goes_live(one: Deploying) -> None:
    """The row first says what is asked for, then what became of it."""
    function, build = await one.ask("hello", HELLO, limits=Limits(memory_mb=256), environment={"A": "1"})
    assert (function.status, function.live_version, build.status, build.number) == ("pending", None, "pending", 1)
    function, build = await one.done(function, build)
    assert (function.status, function.live_version, function.deploy_error) == ("active", 1, None)
    assert (build.status, build.error, build.output) == ("active", None, "Version 1 is ready.\n")
    version = await one.version(function)
    assert (version.spec.runtime, version.spec.language, version.spec.entry) == ("node", "javascript", "index.js")
    assert (version.spec.limits.memory_mb, version.spec.environment, version.created_by) == (256, {"A": "1"}, "key")
    assert version.bundle_path == f"{function.id}/bundle/1/bundle.tar.gz"
    assert version.source_path == f"{function.id}/src/1/source.tar.gz"
    for key, sha256 in [(version.bundle_path, version.bundle_hash), (version.source_path, version.source_hash)]:
        info = await one.objects.stat(key)
        assert info is not None
        assert info.sha256 == sha256


async def test_python_is_bundled_as_it_is(one: Deploying) -> None:
    """The bundle is the tree of the sources."""
    upload = archive(main__py="from lib import a", lib_SLASH_a__py="x = 1", data__json="{}")
    function, _ = await one.deploy("py", upload)
    version = await one.version(function)
    assert (version.spec.runtime, version.bundle_entry, version.layer_path) == ("python", "main.py", None)
    assert await one.files(version.bundle_path) == await one.files(version.source_path)


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("", None),
        ("a" * 64, 63),
        ("Hello", "a-z 0-9 - _, a letter or digit first"),
        ("-a", "a-z 0-9 - _, a letter or digit first"),
        ("a/b", "a-z 0-9 - _, a letter or digit first"),
        ("a\n", "a-z 0-9 - _, a letter or digit first"),
        ("api", "reserved words"),
    ],
)
async def test_a_bad_name_is_refused(one: Deploying, name: str, limit: str | int | None) -> None:
    """It names the field and the limit."""
    error = (await refused(one, name)).errors[0]
    assert (error.field, error.limit) == ("name", limit)


@pytest.mark.parametrize("name", ["a", "0", "a" * 63, "send-mail_2"])
async def test_a_good_name_is_taken(one: Deploying, name: str) -> None:
    """Lower-case letters, digits, hyphens and underscores, up to 63."""
    function, _ = await one.ask(name, HELLO)
    assert function.name == name


async def test_a_name_is_used_once_by_its_owner(one: Deploying) -> None:
    """The second is told to redeploy, and the first goes on."""
    first, _ = await one.deploy("hello", HELLO)
    problem = await refused(one, "hello")
    assert (problem.reason, problem.errors[0].field) == ("name-taken", "name")
    assert (await one.store.functions.get(one.owner.id, first.id)) == first


async def test_the_rest_of_a_deploy_that_was_cut_off_gives_its_name_back(one: Deploying) -> None:
    """A row without version and build, made a while ago, belongs to no deploy."""
    long_ago = utc_now().replace(year=2020)
    await one.store.functions.add(Function(owner_id=one.owner.id, name="hello", created_at=long_ago))
    function, _ = await one.deploy("hello", HELLO)
    assert function.live_version == 1


async def test_a_deploy_whose_answer_got_lost_is_built_all_the_same(
    one: Deploying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build's row is there, and so must be its sources."""
    add = one.store.builds.add

    async def add_and_break(build: Build) -> None:
        await add(build)
        raise Unavailable("the connection was reset")

    monkeypatch.setattr(one.store.builds, "add", add_and_break)
    with pytest.raises(Unavailable):
        await one.ask("hello", HELLO)
    [function] = await one.store.functions.list(one.owner.id)
    [build] = await one.store.builds.list(one.owner.id, function.id)
    one.deployments._worker.wake()
    function, build = await one.done(function, build)
    assert (build.status, function.live_version) == ("active", 1)


async def test_a_deploy_while_the_object_store_is_away_leaves_no_row(
    one: Deploying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the same name can be deployed when it is back."""

    async def away(*_values: object) -> None:
        raise ObjectsUnavailable("gone")

    with monkeypatch.context() as outage:
        outage.setattr(one.objects, "put", away)
        outage.setattr(one.objects, "delete", away)
        with pytest.raises(ObjectsUnavailable):
            await one.ask("hello", HELLO)
    assert not await one.store.functions.list(one.owner.id)
    function, build = await one.deploy("hello", HELLO)
    assert (build.status, function.live_version) == ("active", 1)


async def test_a_name_given_back_is_taken_once(one: Deploying) -> None:
    """However many want it at once; the others are told like anyone else."""
    long_ago = utc_now().replace(year=2020)
    await one.store.functions.add(Function(owner_id=one.owner.id, name="hello", created_at=long_ago))
    outcomes = await asyncio.gather(*(one.ask("hello", HELLO) for _ in range(8)), return_exceptions=True)
    refusals = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert [(type(refusal), getattr(refusal, "reason", None)) for refusal in refusals] == [(Problem, "name-taken")] * 7


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"entry": "other.js"}, "entry"),
        ({"entry": "../index.js"}, "entry"),
        ({"runtime": "python"}, "entry"),
        ({"handler": "a b"}, "handler"),
        ({"environment": {"1A": ""}}, "environment"),
        ({"environment": {"CLOUDSERVE_X": ""}}, "environment"),
        ({"environment": {"A": "x" * 40_000}}, "environment"),
        ({"environment": {"A": "\0"}}, "environment"),
        ({"secrets": ["a-b"]}, "secrets"),
        ({"secrets": ["A", "A"]}, "secrets"),
        ({"secrets": ["A"], "environment": {"A": ""}}, "secrets"),
        ({"egress": Egress(mode="list")}, "egress.allow"),
        ({"egress": Egress(mode="public", allow=["a.example"])}, "egress.allow"),
        ({"egress": Egress(mode="list", allow=["a.example:99999"])}, "egress.allow"),
        ({"egress": Egress(mode="list", allow=["http://a.example"])}, "egress.allow"),
    ],
)
async def test_bad_values_are_refused(one: Deploying, values: dict[str, Any], field: str) -> None:
    """The 422 names the field."""
    assert (await refused(one, "hello", **values)).errors[0].field == field


@pytest.mark.parametrize(
    "upload",
    [
        archive(package__json=json.dumps({"dependencies": {f"p{i}": "1" for i in range(51)}}), index__js=HELLO),
        SingleFile("index.js", "\n".join(f"require('p{i}')" for i in range(51))),
        archive(requirements__txt="\n".join(f"p{i}" for i in range(51)), main__py=""),
        SingleFile("main.py", f"import {', '.join(f'p{i}' for i in range(51))}"),
    ],
)
async def test_51_dependencies_are_refused(one: Deploying, upload: Any) -> None:
    """In a manifest or among the imports; the message has the number and the limit."""
    error = (await refused(one, "hello", upload)).errors[0]
    assert (error.field, error.limit) == ("dependencies", 50)
    assert "51 dependencies" in error.message


async def test_a_30_mb_archive_is_refused(one: Deploying) -> None:
    """The limit is 25."""
    error = (await refused(one, "hello", ArchiveUpload("a.tar", bytes(30 * 1024 * 1024)))).errors[0]
    assert (error.field, error.limit) == ("archive", "25 MiB")


async def test_bad_code_fails_that_build_alone(one: Deploying) -> None:
    """The error has file, line, column and the line; the old version keeps serving."""
    function, _ = await one.deploy("hello", HELLO)
    function, build = await one.redeploy(function, upload=BROKEN)
    assert (build.status, function.status, function.live_version) == ("failed", "failed", 1)
    assert function.deploy_error == build.error
    assert build.error is not None
    assert build.error.startswith("index.js:1:19: Unexpected end of file\n    module.exports = (\n")
    function, _ = await one.redeploy(function, upload=HELLO)
    assert (function.status, function.deploy_error, function.live_version) == ("active", None, 3)


async def test_changed_settings_make_a_version_without_a_build(one: Deploying) -> None:
    """It has the objects of the live one, and is live when the call returns."""
    function, _ = await one.deploy("hello", HELLO, environment={"A": "1"}, handler="run")
    before = await one.keys()
    function, build = await one.redeploy(function, limits=Limits(memory_mb=512), handler="")
    assert (build.status, function.live_version, function.status) == ("active", 2, "active")
    old, new = await one.version(function, 1), await one.version(function, 2)
    assert (new.bundle_path, new.bundle_hash, new.source_path) == (old.bundle_path, old.bundle_hash, old.source_path)
    assert (new.spec.limits.memory_mb, new.spec.environment, new.spec.handler) == (512, {"A": "1"}, None)
    assert await one.keys() == before


async def test_an_empty_redeploy_builds_the_newest_sources_again(one: Deploying) -> None:
    """With objects of its own and the settings as they are."""
    function, _ = await one.deploy("hello", HELLO, limits=Limits(memory_mb=256))
    function, build = await one.redeploy(function)
    version = await one.version(function)
    assert (build.number, version.number, version.spec.limits.memory_mb) == (2, 2, 256)
    assert version.bundle_path == f"{function.id}/bundle/2/bundle.tar.gz"
    assert version.bundle_hash == (await one.version(function, 1)).bundle_hash


async def test_a_redeploy_may_change_the_language(one: Deploying) -> None:
    """What the new sources are is found anew where the old entry is gone."""
    function, _ = await one.deploy("hello", HELLO)
    function, _ = await one.redeploy(function, upload=SingleFile("main.py", "def handler(context): ..."))
    version = await one.version(function)
    assert (version.spec.runtime, version.bundle_entry) == ("python", "main.py")


async def test_a_stated_entry_stays_the_entry(one: Deploying) -> None:
    """As long as the sources have it."""
    files = {"index__js": HELLO, "src_SLASH_other__js": HELLO}
    function, _ = await one.deploy("hello", archive(**files), entry="src/other.js")
    function, _ = await one.redeploy(function, upload=archive(**files))
    assert (await one.version(function)).spec.entry == "src/other.js"


async def test_a_refused_redeploy_takes_no_number(one: Deploying) -> None:
    """The row is as before."""
    function, _ = await one.deploy("hello", HELLO)
    with pytest.raises(Problem):
        await one.redeploy(function, upload=ArchiveUpload("a.tar", b"junk"))
    with pytest.raises(Problem):
        await one.redeploy(function, secrets=["a-b"])
    assert await one.store.functions.get(one.owner.id, function.id) == function


async def test_a_rollback_is_one_step(one: Deploying) -> None:
    """The older version is live at once; one that does not exist is a 404."""
    function, _ = await one.deploy("hello", HELLO)
    function, _ = await one.redeploy(function, upload="module.exports = 2")
    function = await one.deployments.rollback(one.owner, function, 1)
    assert (function.live_version, function.status) == (1, "active")
    with pytest.raises(Problem) as raised:
        await one.deployments.rollback(one.owner, function, 3)
    assert raised.value.status == 404


async def test_a_later_choice_beats_an_earlier_build(one: Deploying) -> None:
    """A rollback that was asked for while a build went on is what stays live."""
    function, _ = await one.deploy("hello", HELLO)
    function, build = await one.deployments.redeploy(
        one.owner, function, _changes("module.exports = 2"), created_by="key"
    )
    await one.deployments.rollback(one.owner, function, 1)
    function, build = await one.done(function, build)
    assert (build.status, function.live_version, function.status) == ("active", 1, "active")


async def test_deploys_at_once_end_with_the_last_one_live(one: Deploying) -> None:
    """Each has a number of its own, and all of them are built."""
    function, _ = await one.deploy("hello", HELLO)
    asked = [
        await one.deployments.redeploy(one.owner, function, _changes(f"module.exports = {i}"), created_by="key")
        for i in range(6)
    ]
    builds = [(await one.done(function, build))[1] for _, build in asked]
    assert [build.number for build in builds] == [2, 3, 4, 5, 6, 7]
    assert {build.status for build in builds} == {"active"}
    again = await one.store.functions.get(one.owner.id, function.id)
    assert again is not None
    assert (again.live_version, again.status) == (7, "active")


async def test_sources_can_be_read_back(one: Deploying) -> None:
    """The newest ones, of a failed deploy too: what is to be corrected is what was sent."""
    function, _ = await one.deploy("hello", archive(index__js=HELLO, lib__js="1"))
    sources = await one.deployments.source_of(function)
    assert sources is not None
    assert (sources.filename, sources.code, sources.files) == ("index.js", HELLO, ("index.js", "lib.js"))
    function, _ = await one.redeploy(function, upload=BROKEN)
    sources = await one.deployments.source_of(function)
    assert sources is not None
    assert sources.code == BROKEN


async def test_the_entry_can_be_edited_among_other_files(one: Deploying) -> None:
    """What was read back is sent back changed, and the rest of the sources stays."""
    files = {"src_SLASH_index__js": "module.exports = require('../lib')", "lib__js": "1"}
    function, _ = await one.deploy("hello", archive(**files, package__json='{"main": "src/index.js"}'))
    edited = SingleFile("src/index.js", "module.exports = require('../lib') // edited")
    function, build = await one.redeploy(function, upload=edited)
    assert (build.error, function.live_version) == (None, 2)
    sources = await one.deployments.source_of(function)
    assert sources is not None
    assert (sources.code, sources.files) == (edited.code, ("lib.js", "package.json", "src/index.js"))


async def test_when_the_newest_sources_are_gone_the_live_ones_are_shown(one: Deploying) -> None:
    """Those of a failed deploy are not kept forever; to build them again they have to be sent."""
    function, _ = await one.deploy("hello", HELLO)
    function, build = await one.redeploy(function, upload=BROKEN)
    await one.objects.delete(build.source_path)
    sources = await one.deployments.source_of(function)
    assert sources is not None
    assert sources.code == HELLO
    with pytest.raises(Problem, match="not kept any more"):
        await one.redeploy(function)


async def test_deleting_a_function_leaves_nothing(one: Deploying) -> None:
    """No row and no object; the name is free again."""
    function, _ = await one.deploy("hello", HELLO)
    await one.redeploy(function, upload="module.exports = 2")
    await one.deployments.delete(one.owner, function)
    assert await one.keys() == set()
    with pytest.raises(Problem) as raised:
        await one.deployments.delete(one.owner, function)
    assert raised.value.status == 404
    await one.deploy("hello", HELLO)


async def test_deleting_while_a_build_goes_on_ends_it(one: Deploying) -> None:
    """The build is given up, and others go on."""
    function, _ = await one.ask(
        "hello", archive(package__json='{"dependencies": {"is-number": "7.0.0"}}', index__js=HELLO)
    )
    await asyncio.sleep(0.1)
    await one.deployments.delete(one.owner, function)
    other, _ = await one.deploy("other", HELLO)
    assert other.live_version == 1


async def test_each_version_that_goes_live_is_announced(tmp_path: Path) -> None:
    """By build, by changed settings and by rollback; an error there is no error of the deploy."""
    announced: list[int] = []

    async def on_live(function: Function, version: Version) -> None:
        announced.append(version.number)
        assert function.live_version == version.number
        raise RuntimeError("could not be warmed")

    async with deploying(tmp_path, on_live=on_live) as one:
        function, _ = await one.deploy("hello", HELLO)
        function, _ = await one.redeploy(function, limits=Limits(memory_mb=256))
        await one.deployments.rollback(one.owner, function, 1)
        assert announced == [1, 2, 1]


def _changes(code: str) -> Any:
    from cloudserve.api.build.request import DeployChanges

    return DeployChanges(upload=SingleFile("index.js", code))
