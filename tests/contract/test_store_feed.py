"""The change feed: complete, ordered, and written with what it tells of. What every store guarantees."""

import asyncio
from collections.abc import Awaitable

import pytest

from cloudserve.core.models.function import Function
from cloudserve.core.models.owner import Owner
from cloudserve.core.store.abc import Store, Taken
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


async def _told(store: Store, deed: Awaitable[object]) -> set[tuple[str, str, str]]:
    """Returns what the feed tells of one deed."""
    before = await store.last_change()
    await deed
    changes = await store.changes(before)
    assert [change.cursor for change in changes] == sorted({change.cursor for change in changes})
    assert all(change.cursor > before for change in changes)
    assert await store.last_change() == (changes[-1].cursor if changes else before)
    return {(change.kind, change.id, change.owner_id) for change in changes}


async def test_an_empty_store_has_no_change(store: Store) -> None:
    """The first cursor is 0."""
    assert await store.last_change() == 0
    assert await store.changes(0) == []


async def test_owners_are_told_of(store: Store) -> None:
    """Their making, name, activity and end, and the keys that end with them; not what no gateway caches."""
    owner = an_owner("bob")
    told = {("owner", owner.id, owner.id)}
    assert await _told(store, store.owners.add(owner)) == told
    owner.full_name, owner.password_hash = "Bob", None
    assert await _told(store, store.owners.update(owner)) == set()
    owner.name = "robert"
    assert await _told(store, store.owners.update(owner)) == told
    owner.is_active = False
    assert await _told(store, store.owners.update(owner)) == told
    assert await _told(store, store.sessions.add(a_session(owner.id))) == set()
    assert await _told(store, store.codes.put(a_code(owner.id))) == set()
    await store.keys.add(key := a_key(owner.id))
    assert await _told(store, store.owners.delete(owner.id)) == {*told, ("key", key.id, owner.id)}


async def test_keys_are_told_of(store: Store, owner: Owner) -> None:
    """Their making and end, also by replacement; not their use."""
    first, second, named = (a_key(owner.id, kind=kind) for kind in ("default", "default", "named"))
    assert await _told(store, store.keys.add(named)) == {("key", named.id, owner.id)}
    assert await _told(store, store.keys.replace_default(first)) == {("key", first.id, owner.id)}
    assert await _told(store, store.keys.replace_default(second)) == {
        ("key", first.id, owner.id),
        ("key", second.id, owner.id),
    }
    assert await _told(store, store.keys.touch({named.id: NOW})) == set()
    assert await _told(store, store.keys.delete(owner.id, named.id)) == {("key", named.id, owner.id)}


async def test_functions_are_told_of(store: Store, owner: Owner) -> None:
    """Making, activity, access, live version, secrets and end; not deploys under way, nor calls."""
    function = a_function(owner.id)
    ids = (owner.id, function.id)
    told = {("function", function.id, owner.id)}
    assert await _told(store, store.functions.add(function)) == told
    assert await _told(store, store.functions.set_active(*ids, False)) == told
    assert await _told(store, store.functions.set_access(*ids, auth="public", cors=None)) == told
    assert await _told(store, store.functions.next_version(*ids)) == set()
    assert await _told(store, store.builds.add(a_build(function))) == set()
    assert await _told(store, store.builds.claim("w", now=NOW, until=NOW + HOUR)) == set()
    assert await _told(store, store.versions.add(a_version(function))) == set()
    assert await _told(store, store.functions.go_live(*ids, number=1, sequence=1, at=NOW)) == told
    assert await _told(store, store.functions.go_live(*ids, number=1, sequence=1, at=NOW)) == set()
    assert await _told(store, store.functions.set_status(*ids, "active", sequence=1)) == set()
    assert await _told(store, store.secrets.put(a_secret(function))) == told
    assert await _told(store, store.secrets.delete(*ids, "TOKEN")) == told
    assert await _told(store, store.secrets.delete(*ids, "TOKEN")) == set()
    assert await _told(store, store.usages.record([a_usage(function)])) == set()
    assert await _told(store, store.logs.record([a_log(function)])) == set()
    assert await _told(store, store.functions.delete(*ids)) == told
    assert await _told(store, store.functions.delete(*ids)) == set()


async def test_a_function_that_is_forgotten_is_told_of(store: Store, function: Function) -> None:
    """A gateway may have met its name in between."""
    told = {("function", function.id, function.owner_id)}
    assert await _told(store, store.functions.forget(function.owner_id, function.id)) == told


async def test_a_restored_function_is_told_of(store: Store, function: Function) -> None:
    """Its live version is new to every gateway; the records of its calls are news to none."""
    told = {("function", function.id, function.owner_id)}
    live = function.model_copy(update={"live_version": 1, "live_sequence": 1})
    assert await _told(store, store.functions.restore(live)) == told
    assert await _told(store, store.functions.restore(live)) == set()
    assert await _told(store, store.usages.restore([a_usage(function)])) == set()


async def test_what_was_refused_is_not_told_of(store: Store, owner: Owner) -> None:
    """A change and its row come together or not at all."""
    before = await store.last_change()
    with pytest.raises(Taken):
        await store.owners.add(an_owner(owner.name))
    assert await store.changes(before) == []


async def test_a_reader_misses_nothing_while_others_write(store: Store, second: Store, owner: Owner) -> None:
    """Following the cursor sees every change of every writer, without ever looking back."""
    functions = [a_function(owner.id) for _ in range(60)]
    keys = [a_key(owner.id) for _ in range(60)]
    cursor = await store.last_change()
    seen: set[str] = set()

    async def write(way: Store, start: int) -> None:
        for function, key in zip(functions[start::4], keys[start::4], strict=True):
            await way.functions.add(function)
            await way.keys.add(key)

    writers = asyncio.gather(*(write((store, second)[start % 2], start) for start in range(4)))
    while True:
        ended = writers.done()
        changes = await second.changes(cursor)
        seen |= {change.id for change in changes}
        cursor = changes[-1].cursor if changes else cursor
        if ended and not changes:
            break
    await writers
    assert seen == {row.id for row in (*functions, *keys)}


async def test_long_feeds_come_in_stretches(store: Store, owner: Owner) -> None:
    """At most 1,000 changes at once, oldest first, and the rest after them."""
    keys = [a_key(owner.id) for _ in range(1_010)]
    cursor = await store.last_change()
    for key in keys:
        await store.keys.add(key)
    first = await store.changes(cursor)
    rest = await store.changes(first[-1].cursor)
    assert len(first) == 1_000
    assert [change.id for change in (*first, *rest)] == [key.id for key in keys]
