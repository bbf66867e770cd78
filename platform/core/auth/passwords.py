"""Passwords: Argon2id with the parameters of RFC 9106 for little memory, hashed off the event loop, a few at once.

A hash takes 64 MiB and tens of milliseconds on purpose. The bound on how many run at once keeps a flood of sign-ins
from taking the machine: the others wait their turn.
"""

import asyncio
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from cloudserve.core.errors import FieldError

MIN_LENGTH: Final = 10
MAX_LENGTH: Final = 128


class Passwords:
    """Hashes and verifies passwords. `close` once after use.

    Args:
        hasher: the parameters of new hashes; older ones stay valid, and `needs_rehash` tells of them.
        parallel: hashes that may run at once.
    """

    def __init__(self, hasher: PasswordHasher | None = None, *, parallel: int = 2) -> None:
        self._hasher = hasher or PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="passwords")

    async def hash(self, password: str) -> str:
        """Returns what is kept of a password."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hash, password)

    async def verify(self, kept: str | None, password: str) -> bool:
        """Tells whether a password is the one that is kept.

        None, for an account that has no password or does not exist, is False after the same work, so that the time of
        an answer tells nobody which accounts exist.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._verify, kept, password)

    def needs_rehash(self, kept: str) -> bool:
        """Tells whether a hash was made with other parameters than new ones are."""
        return self._hasher.check_needs_rehash(kept)

    def close(self) -> None:
        """Ends the threads; hashes that wait are dropped."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _hash(self, password: str) -> str:
        return self._hasher.hash(_normal(password))

    def _verify(self, kept: str | None, password: str) -> bool:
        if kept is None:
            self._hash(password)
            return False
        try:
            return self._hasher.verify(kept, _normal(password))
        except (VerificationError, InvalidHashError):
            return False


def weakness(password: str, *, field: str, own_words: tuple[str, ...] = ()) -> FieldError | None:
    """Returns what is wrong with a new password, if anything: its length, or that it is one of the user's own words.

    There are no rules on kinds of characters: they make passwords harder to remember, not to guess (NIST SP 800-63B).
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        return FieldError(
            field,
            f"The password has {len(password)} characters instead of {MIN_LENGTH} to {MAX_LENGTH}.",
            limit=f"{MIN_LENGTH} to {MAX_LENGTH}",
            remedy="Choose a longer one." if len(password) < MIN_LENGTH else "Choose a shorter one.",
        )
    if password.casefold() in {word.casefold() for word in own_words} or len(set(password)) == 1:
        return FieldError(
            field,
            "The password is too easy to guess: it is your own name, your mail address or one repeated letter.",
            remedy="Choose one that nobody could derive from your account.",
        )
    return None


def _normal(password: str) -> str:
    """Returns one form of what keyboards type in several (NFKC, as NIST SP 800-63B asks)."""
    return unicodedata.normalize("NFKC", password)
