"""Secrets at rest: AES-256-GCM with a random 96-bit nonce (NIST SP 800-38D), bound to where each secret belongs."""

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class SealBroken(Exception):  # noqa: N818 - reads as what happened
    """The ciphertext was made with another key, for another place, or was changed."""


class Sealer:
    """Seals and opens secrets with one key. `context` names the place, such as `functionId/NAME`."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the secrets key has {len(key)} bytes instead of {KEY_BYTES}")
        self._cipher = AESGCM(key)

    def seal(self, secret: str, *, context: str) -> bytes:
        """Returns the nonce and the ciphertext."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret.encode(), context.encode())

    def open(self, sealed: bytes, *, context: str) -> str:
        """Returns the secret. Raises `SealBroken`."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context.encode()).decode()
        except InvalidTag as error:
            raise SealBroken("a secret can't be opened with this platform's secrets key") from error
