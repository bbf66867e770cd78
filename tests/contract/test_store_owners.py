"""Owners and what they sign in with: what every store guarantees."""

import asyncio
from functools import partial

import pytest

from cloudserve.core.ids import new_id
from cloudserve.core.models.owner import Owner
from cloudserve.core.store.abc import Store, Taken
from tests.contract.asking import all_pages, outcomes
from tests.contract.records import (
    HOUR,
    NOW,
    a_code,
    a_key,
    a_session,
    an_owner,
)


class TestOwners:
    """Users and teams."""

    async def test_an_owner_comes_back_as_it_was_added(self, store: Store) -> None:
        """With every attribute, by each of its names; the caller gets a copy of its own."""
        owner = an_owner(
            "bob",
            full_name="Bob Öberg",
            email="Bob@Example.org",
            password_hash="$argon2id$hash",
            google_subject="1234",
            is_verified=True,
            is_admin=True,
            password_changed_at=NOW,
        )
        await store.owners.add(owner)
        found = [
            await store.owners.get(owner.id),
            await store.owners.by_name("bob"),
            await store.owners.by_email("bob@EXAMPLE.org"),
            await store.owners.by_google_subject("1234"),
        ]
        assert found == [owner] * 4
        assert found[0] is not None
        found[0].full_name = "another"
        assert await store.owners.get(owner.id) == owner

    async def test_what_does_not_exist_is_none(self, store: Store) -> None:
        """Whichever way it is looked up."""
        assert await store.owners.get(new_id()) is None
        assert await store.owners.by_name("nobody") is None
        assert await store.owners.by_email("nobody@example.org") is None
        assert await store.owners.by_google_subject("0") is None
        assert not await store.owners.update(an_owner())
        assert not await store.owners.delete(new_id())

    async def test_a_name_has_one_owner_however_many_want_it(self, store: Store, second: Store) -> None:
        """The losers of a race are told the field."""
        attempts = [way.owners.add(an_owner("carol")) for way in (store, second) for _ in range(10)]
        assert await outcomes(*attempts) == (1, ["name"] * 19)

    async def test_a_mail_address_has_one_owner_whatever_its_case(self, store: Store, second: Store) -> None:
        """Beyond ASCII too."""
        spellings = ["Ärla@example.org", "ärla@example.org", "ÄRLA@EXAMPLE.ORG"] * 4
        attempts = [(store, second)[i % 2].owners.add(an_owner(email=email)) for i, email in enumerate(spellings)]
        assert await outcomes(*attempts) == (1, ["email"] * 11)
        assert await store.owners.by_email("äRLA@example.org")

    async def test_many_owners_have_no_mail_address(self, store: Store) -> None:
        """None is not a value that could be taken."""
        assert await outcomes(*(store.owners.add(an_owner(kind="team")) for _ in range(3))) == (3, [])

    async def test_a_google_account_has_one_owner(self, store: Store) -> None:
        """Otherwise it would be a matter of luck who is signed in."""
        assert await outcomes(*(store.owners.add(an_owner(google_subject="7")) for _ in range(3))) == (
            1,
            ["google_subject"] * 2,
        )

    async def test_an_update_replaces_the_row(self, store: Store, owner: Owner) -> None:
        """Refused as a whole when a value is taken."""
        other = an_owner("bob", email="bob@example.org")
        await store.owners.add(other)
        owner.full_name, owner.email = "Ann", None
        assert await store.owners.update(owner)
        assert await store.owners.get(owner.id) == owner
        assert await store.owners.by_email("ann@example.org") is None
        for field, value in (("name", "bob"), ("email", "BOB@example.org")):
            with pytest.raises(Taken, match=field):
                await store.owners.update(owner.model_copy(update={field: value, "full_name": "lost"}))
        assert await store.owners.get(owner.id) == owner

    async def test_deleting_an_owner_takes_what_it_signs_in_with(self, store: Store, owner: Owner) -> None:
        """Keys, sessions and codes; nothing of another's."""
        other = an_owner()
        await store.owners.add(other)
        for of in (owner, other):
            await store.keys.add(a_key(of.id))
            await store.sessions.add(a_session(of.id))
            await store.codes.put(a_code(of.id))
        assert await store.owners.delete(owner.id)
        assert await store.owners.get(owner.id) is None
        assert await store.keys.list(owner.id) == []
        assert await store.sessions.delete_of(owner.id) == 0
        assert await store.codes.attempt(owner.id, "verify", limit=5) is None
        assert len(await store.keys.list(other.id)) == 1
        assert await store.sessions.delete_of(other.id) == 1
        assert await store.codes.attempt(other.id, "verify", limit=5)

    async def test_owners_are_listed_newest_first_in_pages(self, store: Store) -> None:
        """Each exactly once, with a last page that says so."""
        owners = [an_owner() for _ in range(7)]
        for owner in owners:
            await store.owners.add(owner)
        expected = [owner.id for owner in reversed(owners)]
        for limit in (1, 3, 7, 100):
            assert await all_pages(partial(store.owners.list, limit=limit)) == expected


class TestKeys:
    """API keys."""

    async def test_a_key_comes_back_as_it_was_added(self, store: Store, owner: Owner) -> None:
        """By its hash, and among its owner's keys, newest first."""
        keys = [a_key(owner.id, scopes=["read", "deploy"], function_ids=["f"], expires_at=NOW), a_key(owner.id)]
        for key in keys:
            await store.keys.add(key)
            assert await store.keys.by_hash(key.key_hash) == key
        assert await store.keys.list(owner.id) == keys[::-1]
        assert await store.keys.by_hash("0" * 64) is None
        assert await store.keys.default_of(owner.id) is None

    async def test_a_hash_is_one_key_s(self, store: Store, second: Store, owner: Owner) -> None:
        """Also in a race."""
        attempts = [way.keys.add(a_key(owner.id, key_hash="ab" * 32)) for way in (store, second) for _ in range(5)]
        assert await outcomes(*attempts) == (1, ["key_hash"] * 9)

    async def test_an_owner_has_one_default_key(self, store: Store, second: Store, owner: Owner) -> None:
        """Whoever replaces it at the same time; named keys stay."""
        named = a_key(owner.id, kind="named")
        await store.keys.add(named)
        keys = [a_key(owner.id, kind="default") for _ in range(10)]
        await asyncio.gather(*((store, second)[i % 2].keys.replace_default(key) for i, key in enumerate(keys)))
        last = await store.keys.default_of(owner.id)
        assert last in keys
        assert {key.id for key in await store.keys.list(owner.id)} == {named.id, last.id if last else None}
        assert [await store.keys.by_hash(key.key_hash) for key in keys].count(None) == 9

    async def test_a_key_is_deleted_by_its_owner_alone(self, store: Store, owner: Owner) -> None:
        """To another it does not exist."""
        key = a_key(owner.id)
        await store.keys.add(key)
        assert not await store.keys.delete(new_id(), key.id)
        assert await store.keys.by_hash(key.key_hash)
        assert await store.keys.delete(owner.id, key.id)
        assert await store.keys.by_hash(key.key_hash) is None
        assert not await store.keys.delete(owner.id, key.id)

    async def test_last_uses_only_move_forward(self, store: Store, owner: Owner) -> None:
        """Batches of several gateways may come in any order; keys that are gone are passed over."""
        key = a_key(owner.id)
        await store.keys.add(key)
        for at, expected in ((NOW, NOW), (NOW - HOUR, NOW), (NOW + HOUR, NOW + HOUR)):
            await store.keys.touch({key.id: at, new_id(): at})
            found = await store.keys.by_hash(key.key_hash)
            assert found is not None
            assert found.last_used_at == expected
        await store.keys.touch({})


class TestSessions:
    """Sign-ins."""

    async def test_a_session_lives_until_it_is_ended(self, store: Store, owner: Owner) -> None:
        """It comes back as it was added, and ends once."""
        session = a_session(owner.id, user_agent="browser")
        await store.sessions.add(session)
        assert await store.sessions.by_hash(session.token_hash) == session
        assert await store.sessions.delete(session.token_hash)
        assert await store.sessions.by_hash(session.token_hash) is None
        assert not await store.sessions.delete(session.token_hash)

    async def test_an_owner_s_sessions_are_listed(self, store: Store, owner: Owner) -> None:
        """Newest first, and nobody else's."""
        sessions = [a_session(owner.id) for _ in range(3)]
        for session in (*sessions, a_session(new_id())):
            await store.sessions.add(session)
        assert list(await store.sessions.list(owner.id)) == sessions[::-1]
        assert list(await store.sessions.list(new_id())) == []

    async def test_an_owner_s_other_sessions_can_be_ended(self, store: Store, owner: Owner) -> None:
        """All, or all but the one that asks."""
        sessions = [a_session(owner.id) for _ in range(3)]
        for session in (*sessions, another := a_session(new_id())):
            await store.sessions.add(session)
        assert await store.sessions.delete_of(owner.id, keep=sessions[1].token_hash) == 2
        assert await store.sessions.by_hash(sessions[1].token_hash)
        assert await store.sessions.delete_of(owner.id) == 1
        assert await store.sessions.by_hash(another.token_hash)

    async def test_expired_sessions_are_swept(self, store: Store, owner: Owner) -> None:
        """Those that end just now are not expired yet."""
        sessions = [a_session(owner.id, expires_at=NOW + hours * HOUR) for hours in (-2, -1, 0, 1)]
        for session in sessions:
            await store.sessions.add(session)
        assert await store.sessions.sweep(NOW) == 2
        left = [await store.sessions.by_hash(session.token_hash) for session in sessions]
        assert left == [None, None, *sessions[2:]]


class TestCodes:
    """Codes sent by mail."""

    async def test_a_code_bears_a_few_attempts(self, store: Store, second: Store, owner: Owner) -> None:
        """Counted under concurrency, so that nobody guesses faster by guessing at once."""
        code = a_code(owner.id)
        await store.codes.put(code)
        attempts = [way.codes.attempt(owner.id, "verify", limit=5) for way in (store, second) for _ in range(6)]
        found = [code for code in await asyncio.gather(*attempts) if code]
        assert sorted(code.attempts for code in found) == [1, 2, 3, 4, 5]
        assert {code.code_hash for code in found} == {code.code_hash}

    async def test_a_new_code_takes_the_place_of_the_old(self, store: Store, owner: Owner) -> None:
        """With attempts of its own; other purposes and owners have theirs."""
        old, new, other = a_code(owner.id), a_code(owner.id), a_code(owner.id, purpose="reset")
        for code in (old, other, new):
            await store.codes.put(code)
        found = await store.codes.attempt(owner.id, "verify", limit=1)
        assert found == new.model_copy(update={"attempts": 1})
        assert await store.codes.attempt(owner.id, "verify", limit=1) is None
        await store.codes.delete(owner.id, "verify")
        assert await store.codes.attempt(owner.id, "verify", limit=9) is None
        assert await store.codes.attempt(owner.id, "reset", limit=1)
        assert await store.codes.attempt(new_id(), "reset", limit=1) is None
