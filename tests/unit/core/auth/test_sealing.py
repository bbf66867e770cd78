"""Secrets at rest open with their own key, in their own place, and unchanged only."""

import os

import pytest

from cloudserve.core.auth.sealing import SealBroken, Sealer


def test_a_secret_opens_where_it_belongs() -> None:
    """With the same key and the same context."""
    sealer = Sealer(os.urandom(32))
    assert sealer.open(sealer.seal("päss", context="f1/TOKEN"), context="f1/TOKEN") == "päss"


def test_a_secret_opens_nowhere_else() -> None:
    """Not for another function, not with another key, not when a bit was changed."""
    sealer = Sealer(os.urandom(32))
    sealed = sealer.seal("secret", context="f1/TOKEN")
    for other, text, context in [
        (sealer, sealed, "f2/TOKEN"),
        (Sealer(os.urandom(32)), sealed, "f1/TOKEN"),
        (sealer, sealed[:-1] + bytes([sealed[-1] ^ 1]), "f1/TOKEN"),
    ]:
        with pytest.raises(SealBroken):
            other.open(text, context=context)


def test_a_key_of_the_wrong_size_is_refused() -> None:
    """The error names both sizes."""
    with pytest.raises(ValueError, match="16 bytes instead of 32"):
        Sealer(b"0" * 16)
