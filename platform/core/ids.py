"""Identifiers: strings that sort by the time they were made, the same in every store.

An id is a ULID in lower case: 48 bits of milliseconds since 1970 and 80 random bits in Crockford's base 32
(https://github.com/ulid/spec). Two ids of one process made in the same millisecond sort by the order they were made in.
"""

import os
import threading
import time
from typing import Final

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH: Final = 26
_PAIRS: Final = [a + b for a in ALPHABET for b in ALPHABET]
_RANDOM_BITS: Final = 80

_LOW_BITS: Final = 20

_lock = threading.Lock()
_last_ms = 0
_last_random = 0
_last_high = -1
_head = ""


def new_id() -> str:
    """Returns a fresh id of 26 characters. Safe to call from any thread."""
    global _last_ms, _last_random, _last_high, _head  # noqa: PLW0603 - the monotonic clock of this process
    with _lock:
        now = time.time_ns() // 1_000_000
        if now > _last_ms:
            _last_ms = now
            # The top bit stays free, so that counting up within one millisecond can't overflow.
            _last_random = int.from_bytes(os.urandom(10)) >> 1
        else:
            _last_random += 1
        value = (_last_ms << _RANDOM_BITS) | _last_random
        high = value >> _LOW_BITS
        if high != _last_high:
            # Ids of one millisecond share all but their last letters: a busy process spells those out once.
            _last_high = high
            _head = "".join([_PAIRS[(high >> shift) & 1023] for shift in range(100, -1, -10)])
        return _head + _PAIRS[(value >> 10) & 1023] + _PAIRS[value & 1023]


def is_id(text: str) -> bool:
    """Tells whether `text` has the form of an id."""
    return len(text) == LENGTH and text[0] <= "7" and all(letter in ALPHABET for letter in text)


def milliseconds_of(identifier: str) -> int:
    """Returns when an id was made, in milliseconds since 1970. Raises ValueError for anything that is no id."""
    if not is_id(identifier):
        raise ValueError(f"not an id: {identifier!r}")
    value = 0
    for letter in identifier:
        value = value * 32 + ALPHABET.index(letter)
    return value >> _RANDOM_BITS
