"""Codes that come by mail: short, so good for little time and few attempts."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from cloudserve.core.auth.codes import ATTEMPTS, CodeBook
from cloudserve.core.ids import new_id
from cloudserve.core.models.base import utc_now
from cloudserve.core.models.owner import Owner
from cloudserve.core.store.abc import Store
from cloudserve.core.store.sqlite import SqliteStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    made = SqliteStore(tmp_path / "cloudserve.db")
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def owner_id(store: Store) -> str:
    """The id of an account."""
    owner = Owner(name="ada")
    await store.owners.add(owner)
    return owner.id


async def test_a_code_is_good_once(store: Store, owner_id: str) -> None:
    """It has six digits."""
    codes = CodeBook(store, b"key")
    code = await codes.issue(owner_id, "verify")
    assert len(code) == 6
    assert code.isdigit()
    assert await codes.redeem(owner_id, "verify", code)
    assert not await codes.redeem(owner_id, "verify", code)


async def test_a_code_is_good_for_its_owner_and_purpose(store: Store, owner_id: str) -> None:
    """And for the platform that issued it."""
    codes = CodeBook(store, b"key")
    code = await codes.issue(owner_id, "verify")
    assert not await codes.redeem(new_id(), "verify", code)
    assert not await codes.redeem(owner_id, "reset", code)
    assert not await CodeBook(store, b"other").redeem(owner_id, "verify", code)
    assert await codes.redeem(owner_id, "verify", code)


async def test_a_new_code_replaces_the_one_before(store: Store, owner_id: str) -> None:
    """Of the same purpose, with attempts of its own."""
    codes = CodeBook(store, b"key")
    first = await codes.issue(owner_id, "reset")
    for _ in range(ATTEMPTS):
        await codes.redeem(owner_id, "reset", "wrong")
    assert not await codes.redeem(owner_id, "reset", first)
    second = await codes.issue(owner_id, "reset")
    assert await codes.redeem(owner_id, "reset", second)


async def test_a_code_expires(store: Store, owner_id: str) -> None:
    """After ten minutes."""
    codes = CodeBook(store, b"key")
    code = await codes.issue(owner_id, "verify")
    kept = await store.codes.attempt(owner_id, "verify", limit=ATTEMPTS)
    assert kept is not None
    assert timedelta(minutes=9) < kept.expires_at - utc_now() <= timedelta(minutes=10)
    kept.expires_at = utc_now()
    await store.codes.put(kept)
    assert not await codes.redeem(owner_id, "verify", code)


async def test_a_code_is_not_kept_in_plain(store: Store, owner_id: str) -> None:
    """Nor as a hash that anyone could make."""
    code = await CodeBook(store, b"key").issue(owner_id, "verify")
    kept = await store.codes.attempt(owner_id, "verify", limit=ATTEMPTS)
    assert kept is not None
    assert code not in kept.code_hash
    assert kept.code_hash != CodeBook(store, b"other")._hash(owner_id, "verify", code)
