"""Passwords are kept as Argon2id hashes, and checked at the same cost for everyone."""

import asyncio
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type
from argon2.profiles import RFC_9106_LOW_MEMORY

from cloudserve.core.auth.passwords import Passwords, weakness

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    """Passwords with the cheapest parameters there are."""
    made = Passwords(CHEAP)
    yield made
    made.close()


async def test_a_hash_is_of_its_password_alone(passwords: Passwords) -> None:
    """And no two hashes of one password are the same."""
    kept = await passwords.hash("correct horse battery")
    assert kept != await passwords.hash("correct horse battery")
    assert await passwords.verify(kept, "correct horse battery")
    assert not await passwords.verify(kept, "correct horse batterY")


async def test_the_parameters_are_those_of_rfc_9106() -> None:
    """Argon2id with 64 MiB, three passes and four lanes."""
    passwords = Passwords()
    kept = await passwords.hash("correct horse battery")
    passwords.close()
    assert extract_parameters(kept) == RFC_9106_LOW_MEMORY
    assert RFC_9106_LOW_MEMORY.type is Type.ID


async def test_nothing_kept_is_never_right(passwords: Passwords) -> None:
    """An account without a password, or none at all, or a hash that is damaged."""
    assert not await passwords.verify(None, "")
    assert not await passwords.verify("", "")
    assert not await passwords.verify("$argon2id$damaged", "correct horse battery")


async def test_hashes_with_other_parameters_are_told(passwords: Passwords) -> None:
    """They still verify."""
    old = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1).hash("correct horse battery")
    assert passwords.needs_rehash(old)
    assert await passwords.verify(old, "correct horse battery")
    assert not passwords.needs_rehash(await passwords.hash("correct horse battery"))


async def test_one_password_has_one_form(passwords: Passwords) -> None:
    """However a keyboard composes its letters."""
    kept = await passwords.hash("cafe\u0301 au lait")
    assert await passwords.verify(kept, "caf\u00e9 au lait")


async def test_few_hashes_run_at_once() -> None:
    """The others wait, and the event loop does not."""
    running, most = 0, 0

    class Watched(Passwords):
        def _hash(self, password: str) -> str:
            nonlocal running, most
            running += 1
            most = max(most, running)
            try:
                return super()._hash(password)
            finally:
                running -= 1

    passwords = Watched(CHEAP, parallel=2)
    await asyncio.gather(*(passwords.hash(f"password {n}") for n in range(20)))
    passwords.close()
    assert most <= 2


@pytest.mark.parametrize("password", ["short", "x" * 129, "aaaaaaaaaaaa", "Ada-Lovelace", "ADA@example.com"])
def test_weak_passwords_are_told(password: str) -> None:
    """With a remedy, and without showing the password."""
    fault = weakness(password, field="password", own_words=("ada-lovelace", "ada@example.com"))
    assert fault is not None
    assert fault.remedy
    assert password not in fault.message


@pytest.mark.parametrize("password", ["correct horse battery", "1234567890ab", "äöüßäöüßäö", "ada-lovelace-2"])
def test_there_are_no_rules_on_kinds_of_characters(password: str) -> None:
    """Length is what counts."""
    assert weakness(password, field="password", own_words=("ada-lovelace",)) is None
