"""Functions, their versions, builds and secrets: what every store guarantees."""

import asyncio
from datetime import timedelta

import pytest

from cloudserve.core.ids import new_id
from cloudserve.core.models.function import Cors, Function, Stats
from cloudserve.core.models.owner import Owner
from cloudserve.core.store.abc import Gone, Store, Taken
from tests.contract.asking import outcomes
from tests.contract.records import (
    HOUR,
    NOW,
    a_build,
    a_function,
    a_log,
    a_secret,
    a_usage,
    a_version,
)


class TestFunctions:
    """Functions; how deploys and rollbacks are ordered is in `test_store_ordering`."""

    async def test_a_function_comes_back_as_it_was_added(self, store: Store, owner: Owner) -> None:
        """By id and name, and among its owner's, newest first."""
        functions = [
            a_function(owner.id, auth="public", cors=Cors(origins=["https://a.example"])),
            a_function(owner.id),
        ]
        stats = Stats(executed=4, errors=1, avg_latency=2.5, avg_memory=8.25, last_executed=NOW)
        functions.append(a_function(owner.id, status="failed", deploy_error="no", deployed_at=NOW, stats=stats))
        for function in functions:
            await store.functions.add(function)
            assert await store.functions.get(owner.id, function.id) == function
            assert await store.functions.by_name(owner.id, function.name) == function
        assert await store.functions.list(owner.id) == functions[::-1]

    async def test_a_name_is_unique_within_its_owner(self, store: Store, second: Store, owner: Owner) -> None:
        """Another owner may have the same."""
        attempts = [way.functions.add(a_function(owner.id, "f")) for way in (store, second) for _ in range(10)]
        assert await outcomes(*attempts) == (1, ["name"] * 19)
        await store.functions.add(a_function(new_id(), "f"))

    async def test_pausing_and_access_change_in_place(self, store: Store, function: Function) -> None:
        """The new row is returned, and what was not asked for stays."""
        paused = await store.functions.set_active(function.owner_id, function.id, False)
        cors = Cors(methods=["GET"], credentials=True)
        opened = await store.functions.set_access(function.owner_id, function.id, auth="public", cors=cors)
        assert paused is not None
        assert opened is not None
        assert (paused.is_active, paused.auth, paused.cors) == (False, "key", None)
        assert (opened.is_active, opened.auth, opened.cors) == (False, "public", cors)
        assert await store.functions.get(function.owner_id, function.id) == opened
        assert opened.updated_at >= function.updated_at

    async def test_another_s_function_behaves_as_missing(self, store: Store, function: Function) -> None:
        """Every method answers as for an id that does not exist, and changes nothing."""
        await store.versions.add(a_version(function))
        await store.builds.add(build := a_build(function))
        await store.secrets.put(a_secret(function))
        await store.usages.record([usage := a_usage(function)])
        await store.logs.record([log := a_log(function)])
        before = await store.functions.get(function.owner_id, function.id)
        cursor = await store.last_change()
        for stranger, f in ((new_id(), function.id), (function.owner_id, new_id())):
            answers = [
                await store.functions.get(stranger, f),
                await store.functions.set_active(stranger, f, False),
                await store.functions.set_access(stranger, f, auth="public", cors=None),
                await store.functions.next_version(stranger, f),
                await store.functions.next_sequence(stranger, f),
                await store.functions.go_live(stranger, f, number=1, sequence=9, at=NOW),
                await store.functions.set_status(stranger, f, "failed", sequence=0),
                await store.functions.restore(function.model_copy(update={"owner_id": stranger, "id": f})),
                await store.functions.delete(stranger, f),
                await store.functions.forget(stranger, f),
                await store.versions.get(stranger, f, 1),
                await store.versions.list(stranger, f),
                await store.builds.list(stranger, f),
                await store.secrets.list(stranger, f),
                await store.secrets.delete(stranger, f, "TOKEN"),
                (await store.usages.list(stranger, f, limit=9)).rows,
                await store.usages.get(stranger, f, usage.id),
                await store.usages.delete(stranger, f),
                (await store.logs.list(stranger, f, limit=9)).rows,
                await store.logs.get(stranger, f, log.id),
                await store.logs.delete(stranger, f, log.id),
            ]
            assert not any(answers)
        assert await store.functions.by_name(new_id(), function.name) is None
        assert await store.builds.get(new_id(), build.id) is None
        assert await store.usages.latest(new_id()) == []
        assert await store.functions.get(function.owner_id, function.id) == before
        assert await store.last_change() == cursor

    async def test_deleting_a_function_takes_all_that_is_its(self, store: Store, function: Function) -> None:
        """Versions, builds, secrets, usages and logs; nothing of another function."""
        other = a_function(function.owner_id)
        await store.functions.add(other)
        for of in (function, other):
            await store.versions.add(a_version(of))
            await store.builds.add(a_build(of))
            await store.secrets.put(a_secret(of))
            await store.usages.record([a_usage(of)])
            await store.logs.record([a_log(of)])
        assert await store.functions.delete(function.owner_id, function.id)
        for of, left in ((function, 0), (other, 1)):
            of_whom = (of.owner_id, of.id)
            assert len(await store.versions.list(*of_whom)) == left
            assert len(await store.builds.list(*of_whom)) == left
            assert len(await store.secrets.list(*of_whom)) == left
            assert len((await store.usages.list(*of_whom, limit=9)).rows) == left
            assert len((await store.logs.list(*of_whom, limit=9)).rows) == left
        assert [usage.function_id for usage in await store.usages.latest(function.owner_id)] == [other.id]
        assert not await store.functions.delete(function.owner_id, function.id)
        await store.functions.add(a_function(function.owner_id, function.name))

    async def test_what_comes_late_for_a_deleted_function_is_refused(self, store: Store, function: Function) -> None:
        """A build that was under way leaves nothing behind, nor do records of its last calls."""
        await store.builds.add(a_build(function))
        await store.builds.claim("w", now=NOW, until=NOW + HOUR)
        assert await store.functions.delete(function.owner_id, function.id)
        for late in (
            store.versions.add(a_version(function)),
            store.builds.add(a_build(function)),
            store.secrets.put(a_secret(function)),
        ):
            with pytest.raises(Gone):
                await late
        await store.usages.record([a_usage(function)])
        await store.logs.record([a_log(function)])
        assert await store.usages.latest(function.owner_id) == []
        assert await store.versions.referenced_objects() == set()
        assert await store.builds.claim("w", now=NOW + 2 * HOUR, until=NOW + 3 * HOUR) is None

    async def test_what_names_another_s_function_is_refused(self, store: Store, function: Function) -> None:
        """The function exists, but is not that owner's."""
        thief = function.model_copy(update={"owner_id": new_id()})
        with pytest.raises(Gone):
            await store.versions.add(a_version(thief))
        with pytest.raises(Gone):
            await store.secrets.put(a_secret(thief))
        await store.usages.record([a_usage(thief)])
        found = await store.functions.get(function.owner_id, function.id)
        assert found == function

    async def test_a_function_is_restored_as_it_was(self, store: Store, owner: Owner) -> None:
        """Live version, counts, times and averages that no product gives exactly; once it is live, it stays."""
        stats = Stats(executed=49, errors=2, avg_latency=1 / 49, avg_memory=59.7 / 49, last_executed=NOW)
        function = a_function(owner.id, is_active=False, auth="public", cors=Cors(), status="active", stats=stats)
        function.latest_version, function.sequence, function.deployed_at = 3, 5, NOW
        function.created_at = function.updated_at = NOW - HOUR
        await store.functions.add(function)
        assert await store.functions.get(owner.id, function.id) == function
        function.live_version, function.live_sequence = 2, 4
        assert await store.functions.restore(function)
        assert await store.functions.get(owner.id, function.id) == function
        assert not await store.functions.restore(function.model_copy(update={"live_version": 1}))
        assert await store.functions.get(owner.id, function.id) == function

    async def test_what_was_asked_for_since_is_not_restored_over(self, store: Store, function: Function) -> None:
        """A function whose owner has begun a deploy has a row of its own by then; a name that is taken is refused."""
        assert await store.functions.next_version(function.owner_id, function.id)
        before = await store.functions.get(function.owner_id, function.id)
        assert not await store.functions.restore(function)
        assert await store.functions.get(function.owner_id, function.id) == before
        await store.functions.add(other := a_function(function.owner_id))
        with pytest.raises(Taken, match="name"):
            await store.functions.restore(other.model_copy(update={"name": function.name}))
        assert await store.functions.get(other.owner_id, other.id) == other

    @pytest.mark.parametrize("kept_by", ["version", "build", None])
    async def test_only_a_function_that_never_deployed_can_be_forgotten(
        self, store: Store, function: Function, kept_by: str | None
    ) -> None:
        """A version or a build keeps it."""
        if kept_by == "version":
            await store.versions.add(a_version(function))
        elif kept_by == "build":
            await store.builds.add(a_build(function, status="failed"))
        assert await store.functions.forget(function.owner_id, function.id) == (kept_by is None)
        assert (await store.functions.get(function.owner_id, function.id) is None) == (kept_by is None)

    async def test_numbers_are_taken_once(self, store: Store, second: Store, function: Function) -> None:
        """No two callers get the same version number or sequence, and none is left out."""
        ways = [way.functions for way in (store, second) for _ in range(15)]
        taken = await asyncio.gather(*(way.next_version(function.owner_id, function.id) for way in ways))
        alone = await asyncio.gather(*(way.next_sequence(function.owner_id, function.id) for way in ways))
        assert sorted(pair for pair in taken if pair) == [(n, n) for n in range(1, 31)]
        assert sorted(sequence for sequence in alone if sequence) == list(range(31, 61))


class TestVersions:
    """Built versions."""

    async def test_a_version_comes_back_as_it_was_added(self, store: Store, function: Function) -> None:
        """By number, and among its function's, newest first."""
        layer = {"layer_path": "deps/x/layer.tar.gz", "layer_hash": "3" * 64, "dep_hash": "x", "lock": "{}\n"}
        versions = [a_version(function, 1, **layer), a_version(function, 2)]
        for version in versions:
            await store.versions.add(version)
            assert await store.versions.get(function.owner_id, function.id, version.number) == version
        assert await store.versions.list(function.owner_id, function.id) == versions[::-1]
        assert await store.versions.get(function.owner_id, function.id, 3) is None

    async def test_a_number_is_one_version_s(self, store: Store, second: Store, function: Function) -> None:
        """Also in a race; what is there is not changed."""
        versions = [a_version(function, 1, lock=str(i)) for i in range(10)]
        attempts = [(store, second)[i % 2].versions.add(version) for i, version in enumerate(versions)]
        assert await outcomes(*attempts) == (1, ["number"] * 9)
        assert await store.versions.get(function.owner_id, function.id, 1) in versions

    async def test_referenced_objects_are_those_of_versions_and_of_builds_that_matter(
        self, store: Store, function: Function
    ) -> None:
        """A build that has ended refers to nothing, unless it is its function's newest, whatever came of it."""
        version = a_version(function, 1, layer_path="deps/x/layer.tar.gz")
        await store.versions.add(version)
        for number, status in ((2, "pending"), (3, "deploying"), (4, "failed"), (5, "active"), (6, "failed")):
            await store.builds.add(a_build(function, number, status=status, source_path=f"build-{number}"))
        await store.functions.add(other := a_function(function.owner_id))
        await store.builds.add(a_build(other, status="failed", source_path="build-of-another"))
        assert await store.versions.referenced_objects() == {
            version.source_path,
            version.bundle_path,
            "deps/x/layer.tar.gz",
            "build-2",
            "build-3",
            "build-6",
            "build-of-another",
        }


class TestBuilds:
    """Durable jobs."""

    async def test_a_build_comes_back_as_it_was_added(self, store: Store, function: Function) -> None:
        """By id, and among its function's, newest first, as many as asked for."""
        builds = [a_build(function, number) for number in (1, 2, 3)]
        for build in builds:
            await store.builds.add(build)
            assert await store.builds.get(function.owner_id, build.id) == build
        assert await store.builds.list(function.owner_id, function.id) == builds[::-1]
        assert await store.builds.list(function.owner_id, function.id, limit=2) == builds[:0:-1]

    async def test_each_build_is_claimed_once_oldest_first(
        self, store: Store, second: Store, function: Function
    ) -> None:
        """However many workers ask at the same time."""
        builds = [a_build(function, number) for number in range(1, 6)]
        for build in builds:
            await store.builds.add(build)
        first = await store.builds.claim("w", now=NOW, until=NOW + HOUR)
        lease = {"attempts": 1, "status": "deploying", "claimed_by": "w", "claimed_until": NOW + HOUR}
        assert first == builds[0].model_copy(update=lease | {"started_at": NOW})
        claims = [
            way.builds.claim(f"w{i}", now=NOW, until=NOW + HOUR)
            for i, way in enumerate([way for way in (store, second) for _ in range(5)])
        ]
        claimed = [build.id for build in await asyncio.gather(*claims) if build]
        assert sorted(claimed) == [build.id for build in builds[1:]]

    async def test_a_lease_that_has_run_out_can_be_claimed(self, store: Store, function: Function) -> None:
        """Not a moment before; who had it finds it lost."""
        build = a_build(function)
        await store.builds.add(build)
        await store.builds.claim("dead", now=NOW, until=NOW + HOUR)
        early = NOW + HOUR - timedelta(milliseconds=1)
        assert await store.builds.claim("next", now=early, until=NOW + 2 * HOUR) is None
        taken = await store.builds.claim("next", now=NOW + HOUR, until=NOW + 2 * HOUR)
        assert taken is not None
        assert (taken.attempts, taken.claimed_by, taken.started_at) == (2, "next", NOW)
        assert not await store.builds.extend(build.id, "dead", until=NOW + 9 * HOUR, output="late")
        assert not await store.builds.finish(build.id, "dead", status="active", error=None, output="", at=NOW)
        assert await store.builds.get(function.owner_id, build.id) == taken

    async def test_a_lease_can_be_prolonged(self, store: Store, function: Function) -> None:
        """What was printed so far is kept with it."""
        build = a_build(function)
        await store.builds.add(build)
        await store.builds.claim("w", now=NOW, until=NOW + HOUR)
        assert await store.builds.extend(build.id, "w", until=NOW + 3 * HOUR, output="half")
        assert await store.builds.claim("x", now=NOW + 2 * HOUR, until=NOW + 9 * HOUR) is None
        found = await store.builds.get(function.owner_id, build.id)
        assert found is not None
        assert (found.output, found.claimed_until) == ("half", NOW + 3 * HOUR)

    async def test_a_build_ends_once(self, store: Store, function: Function) -> None:
        """After that it is neither claimed nor changed."""
        build = a_build(function)
        await store.builds.add(build)
        await store.builds.claim("w", now=NOW, until=NOW + HOUR)
        assert await store.builds.finish(build.id, "w", status="failed", error="bad", output="all", at=NOW + HOUR)
        ended = await store.builds.get(function.owner_id, build.id)
        assert ended is not None
        assert (ended.status, ended.error, ended.output, ended.finished_at) == ("failed", "bad", "all", NOW + HOUR)
        assert not await store.builds.finish(build.id, "w", status="active", error=None, output="", at=NOW)
        assert not await store.builds.extend(build.id, "w", until=NOW + 9 * HOUR, output="")
        assert await store.builds.claim("w", now=NOW + 9 * HOUR, until=NOW + 10 * HOUR) is None
        assert await store.builds.get(function.owner_id, build.id) == ended


class TestSecrets:
    """Encrypted secrets."""

    async def test_a_secret_is_kept_under_its_name(self, store: Store, function: Function) -> None:
        """The newest counts; its bytes come back as they were."""
        old, new, other = a_secret(function), a_secret(function, ciphertext=bytes(range(256))), a_secret(function, "A")
        for secret in (old, other, new):
            await store.secrets.put(secret)
        assert await store.secrets.list(function.owner_id, function.id) == [other, new]
        assert await store.secrets.delete(function.owner_id, function.id, "TOKEN")
        assert not await store.secrets.delete(function.owner_id, function.id, "TOKEN")
        assert await store.secrets.list(function.owner_id, function.id) == [other]
