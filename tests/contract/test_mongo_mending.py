"""A service that ends, or loses the server, before any one of its commands: others finish what it began.

Every way of changing something is cut off before its first command, before its second, and so on until it ends by
itself. Each time, another service then mends, and finds that what has changed was told of, that calls were counted
once, and that nothing of a deleted function or owner is left.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from pymongo.asynchronous.collection import AsyncCollection

from cloudserve.core.models.base import utc_now
from cloudserve.core.models.execution import Usage
from cloudserve.core.models.function import Function, Stats
from cloudserve.core.models.owner import ApiKey, Owner
from cloudserve.core.store.abc import Gone, Store, StoreError, Unavailable
from cloudserve.core.store.mongo import MongoStore
from cloudserve.core.store.mongo.database import Database
from cloudserve.core.store.mongo.feed import Thing
from cloudserve.core.store.mongo.functions import CHILDREN
from tests.contract.backends import Mongo
from tests.contract.records import (
    HOUR,
    NOW,
    a_build,
    a_code,
    a_function,
    a_key,
    a_log,
    a_secret,
    a_session,
    a_usage,
    a_version,
    an_owner,
)

pytestmark = pytest.mark.full


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Home:
    """An owner with all that there can be, and a function that was never deployed."""

    owner: Owner = field(default_factory=lambda: an_owner(google_subject=None))

    def __post_init__(self) -> None:
        self.function = a_function(self.owner.id, "full")
        self.blank = a_function(self.owner.id, "blank")
        self.ids = (self.owner.id, self.function.id)
        self.key = a_key(self.owner.id, kind="default")
        self.usages: list[Usage] = [a_usage(self.function) for _ in range(3)]

    async def settle_in(self, store: Store) -> None:
        await store.owners.add(self.owner)
        await store.keys.add(self.key)
        await store.keys.add(a_key(self.owner.id))
        await store.sessions.add(a_session(self.owner.id))
        await store.codes.put(a_code(self.owner.id))
        await store.functions.add(self.function)
        await store.functions.add(self.blank)
        await store.functions.next_version(*self.ids)
        await store.builds.add(a_build(self.function))
        await store.versions.add(a_version(self.function))
        await store.secrets.put(a_secret(self.function))
        await store.usages.record([a_usage(self.function)])
        await store.logs.record([a_log(self.function)])

    def restored(self) -> Function:
        """Returns the function as an import would have it in the end."""
        counted = Stats(executed=1, avg_latency=1, avg_memory=1)
        live = {"latest_version": 1, "sequence": 1, "live_sequence": 1, "live_version": 1, "stats": counted}
        return self.function.model_copy(update=live)

    async def seen(self, store: Store) -> dict[str, Any]:
        """Returns what gateways cache, by the id that a change of it is told under."""
        things: dict[str, Any] = {}
        owner = await store.owners.get(self.owner.id)
        things[self.owner.id] = owner and (owner.name, owner.is_active)
        for function in (self.function, self.blank):
            found = await store.functions.get(self.owner.id, function.id)
            secrets = await store.secrets.list(self.owner.id, function.id)
            things[function.id] = (found and _served(found), [secret.id for secret in secrets])
        for key in await store.keys.list(self.owner.id):
            things[key.id] = _key(key)
        return things


def _served(function: Function) -> tuple[Any, ...]:
    return (function.name, function.is_active, function.auth, function.cors, function.live_version)


def _key(key: ApiKey) -> str:
    return key.key_hash


Deed = Callable[[Store, Home], Awaitable[object]]

DEEDS: Final[dict[str, Deed]] = {
    "rename an owner": lambda store, home: store.owners.update(
        home.owner.model_copy(update={"name": f"x{home.key.id}"})
    ),
    "suspend an owner": lambda store, home: store.owners.update(home.owner.model_copy(update={"is_active": False})),
    "delete an owner": lambda store, home: store.owners.delete(home.owner.id),
    "add a key": lambda store, home: store.keys.add(a_key(home.owner.id)),
    "replace a key": lambda store, home: store.keys.replace_default(a_key(home.owner.id, kind="default")),
    "end a key": lambda store, home: store.keys.delete(home.owner.id, home.key.id),
    "pause a function": lambda store, home: store.functions.set_active(*home.ids, False),
    "open a function": lambda store, home: store.functions.set_access(*home.ids, auth="public", cors=None),
    "go live": lambda store, home: store.functions.go_live(*home.ids, number=1, sequence=1, at=NOW),
    "restore a function": lambda store, home: store.functions.restore(home.restored()),
    "delete a function": lambda store, home: store.functions.delete(*home.ids),
    "forget a function": lambda store, home: store.functions.forget(home.owner.id, home.blank.id),
    "put a secret": lambda store, home: store.secrets.put(a_secret(home.function, "OTHER")),
    "replace a secret": lambda store, home: store.secrets.put(a_secret(home.function)),
    "delete a secret": lambda store, home: store.secrets.delete(*home.ids, "TOKEN"),
    "record calls": lambda store, home: store.usages.record(home.usages),
    "record a call": lambda store, home: store.logs.record([a_log(home.function)]),
    "add a version": lambda store, home: store.versions.add(a_version(home.function, 2)),
    "add a build": lambda store, home: store.builds.add(a_build(home.function, 2)),
}


class Life:
    """Lets one store send a number of commands, and then ends it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: MongoStore) -> None:
        self.left = -1
        self.end: type[BaseException] = Killed
        send = Database.__getitem__

        def sends(database: Database, name: str) -> AsyncCollection[dict[str, Any]]:
            if database is store._db:
                if self.left == 0:
                    raise self.end("cut off")
                self.left -= 1
            return send(database, name)

        monkeypatch.setattr(Database, "__getitem__", sends)


@pytest.fixture
async def mortal(mongo_backend: Mongo) -> AsyncIterator[MongoStore]:
    """A service that does not mend."""
    store = mongo_backend.store()
    await store.open()
    await store.keeper.close()
    yield store
    await store.close()


@pytest.fixture
async def other(mortal: MongoStore, mongo_backend: Mongo) -> AsyncIterator[MongoStore]:
    """Another service, that mends when the test says so."""
    store = mongo_backend.store()
    await store.open()
    await store.keeper.close()
    yield store
    await store.close()


async def _mend(store: MongoStore) -> None:
    await store.keeper.tell_what_was_left(late=0, lost=0)
    await store.keeper.count_what_was_left(late=0)


async def _left_of(store: MongoStore, function: Function) -> int:
    counts = [await store._db[name].count_documents({"function_id": function.id}) for name in CHILDREN]
    return sum(counts)


@pytest.mark.parametrize("end", [Killed, Unavailable])
@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS.keys())
async def test_what_is_cut_off_is_finished_and_told_of(
    mortal: MongoStore, other: MongoStore, monkeypatch: pytest.MonkeyPatch, deed: Deed, end: type[BaseException]
) -> None:
    """Before whichever command."""
    life = Life(monkeypatch, mortal)
    life.end = end
    for commands in range(50):
        home = Home()
        await home.settle_in(other)
        before = await home.seen(other)
        cursor = await other.last_change()
        life.left, ended = commands, True
        try:
            await deed(mortal, home)
        except (Killed, Unavailable):
            ended = False
        cut_off, life.left = life.left == 0, -1
        await _mend(other)

        after = await home.seen(other)
        told = {change.id for change in await other.changes(cursor)}
        changed = {id_ for id_ in before.keys() | after.keys() if before.get(id_) != after.get(id_)}
        assert changed <= told
        assert await other._feed.intents() == {}
        assert await other._tally.open() == set()
        rows = (await other.usages.list(*home.ids, limit=99)).rows
        function = await other.functions.get(*home.ids)
        if function is None:
            assert await _left_of(other, home.function) == 0
        else:
            assert function.stats.executed == len(rows)
        if after[home.owner.id] is None:
            assert await other.keys.list(home.owner.id) == []
            assert await other.sessions.delete_of(home.owner.id) == 0
        else:
            assert len(await other.keys.list(home.owner.id)) >= 1
        if ended and not cut_off:
            return
    pytest.fail("it never ends")


async def test_a_retry_after_a_cut_counts_each_call_once(
    mortal: MongoStore, other: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spool delivers again what it has no word of, to whichever service, before or after the mending."""
    life = Life(monkeypatch, mortal)
    for commands in range(5):
        for mend_first in (False, True):
            home = Home()
            await home.settle_in(other)
            life.left = commands
            with pytest.raises(Killed):
                await mortal.usages.record(home.usages)
            life.left = -1
            if mend_first:
                await _mend(other)
            await other.usages.record(home.usages)
            await _mend(other)
            await _mend(other)
            found = await other.functions.get(*home.ids)
            assert found is not None
            assert found.stats.executed == 4


async def test_a_writer_that_was_only_slow_counts_nothing_twice(mortal: MongoStore, other: MongoStore) -> None:
    """Its batch was settled while it slept between adding and counting."""
    home = Home()
    await home.settle_in(other)
    await mortal._tally._usages.add_new(home.usages, tally="token")
    await _mend(other)
    await mortal._tally.count("token", home.usages)
    await _mend(other)
    found = await other.functions.get(*home.ids)
    assert found is not None
    assert found.stats.executed == 4


async def test_what_arrives_for_a_deleted_function_after_all_is_cleared(mortal: MongoStore, other: MongoStore) -> None:
    """The writer was killed before it could see that the function has gone."""
    home = Home()
    await home.settle_in(other)
    await other.functions.delete(*home.ids)
    await other.versions._versions.add(a_version(home.function))
    await other.logs._calls.rows.add_new([a_log(home.function)])
    await other.keeper.clear_graves(older_than=HOUR)
    assert await _left_of(other, home.function) == 2
    await other.keeper.clear_graves(older_than=-HOUR)
    assert await _left_of(other, home.function) == 0
    assert await other._graveyard.dug_before(utc_now() + HOUR) == []


async def test_a_function_that_is_there_has_nothing_cleared(mortal: MongoStore, other: MongoStore) -> None:
    """A deletion that was cut off before it happened leaves a grave for a function that lives."""
    home = Home()
    await home.settle_in(other)
    await other._graveyard.dig(home.function.id)
    left = await _left_of(other, home.function)
    await other.keeper.clear_graves(older_than=-HOUR)
    assert await _left_of(other, home.function) == left
    assert await other.functions.get(*home.ids)


async def test_a_late_intent_is_told_of_once_and_then_forgotten(mortal: MongoStore, other: MongoStore) -> None:
    """A writer that is only slow finds nothing amiss."""
    home = Home()
    await home.settle_in(other)
    cursor = await other.last_change()
    async with mortal._feed.telling(Thing("function", home.function.id, home.owner.id)):
        await other.keeper.tell_what_was_left(late=0)
        await other.keeper.tell_what_was_left(late=0)
        assert len(await other.changes(cursor)) == 1
        await other.keeper.tell_what_was_left(late=0, lost=0)
    assert len(await other.changes(cursor)) == 3
    assert await other._feed.intents() == {}


async def test_a_cursor_from_before_a_restored_backup_is_told_everything(other: MongoStore) -> None:
    """What the gateway knows may be of another time altogether."""
    owners = [an_owner() for _ in range(3)]
    for owner in owners:
        await other.owners.add(owner)
    changes = await other.changes(10_000)
    assert [change.id for change in changes] == [owner.id for owner in owners]


async def test_the_feed_is_as_long_as_there_are_things(other: MongoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recent changes make room for newer ones, and a thing's last change stands for the earlier ones."""
    owner = an_owner()
    await other.owners.add(owner)
    await other.functions.add(function := a_function(owner.id))
    for active in [True, False] * 150:
        await other.functions.set_active(owner.id, function.id, active)
    changes = await other.changes(0)
    assert {change.id for change in changes} == {owner.id, function.id}
    assert len(changes) <= 101
    assert changes[-1].cursor == await other.last_change() == 302


async def test_refusals_leave_no_intent(other: MongoStore, owner_of: Home) -> None:
    """What was refused is known not to have happened."""
    with pytest.raises(StoreError):
        await other.owners.add(an_owner(owner_of.owner.name))
    await other.functions.delete(*owner_of.ids)
    with pytest.raises(Gone):
        await other.secrets.put(a_secret(owner_of.function))
    assert await other._feed.intents() == {}


@pytest.fixture
async def owner_of(other: MongoStore) -> Home:
    """A home in the store."""
    home = Home()
    await home.settle_in(other)
    return home
