"""The key that secrets are sealed with in an export, derived from a passphrase.

Argon2id as for passwords, with the parameters that RFC 9106 (section 4) names for little memory: 3 passes over 64 MiB
in 4 lanes. They belong to the format: another choice is another format.
"""

import os
from typing import Final

from argon2.low_level import Type, hash_secret_raw
from pydantic import Field

from cloudserve.core.auth.sealing import KEY_BYTES, SealBroken, Sealer
from cloudserve.core.models.base import Model
from cloudserve.core.transfer.failures import TransferError, WrongPassphrase

MIN_LENGTH: Final = 12
"""In characters. Who has the file may guess as long as they like, so it is longer than a password must be."""

_SALT_BYTES: Final = 16
_PASSES: Final = 3
_MEMORY_KIB: Final = 64 * 1024
_LANES: Final = 4
_CHECK: Final = "cloudserve export"


class Sealing(Model):
    """What tells whether a passphrase is the right one: the salt, and a known text sealed with its key; both in hex."""

    salt: str = Field(pattern=rf"^[0-9a-f]{{{2 * _SALT_BYTES}}}$")
    check: str = Field(pattern=r"^([0-9a-f]{2}){28,}$")


def new_sealing(passphrase: str) -> tuple[Sealing, Sealer]:
    """Returns what to keep, and what seals. Raises `TransferError` for a passphrase that is too short."""
    if len(passphrase) < MIN_LENGTH:
        raise TransferError(
            f"The passphrase has {len(passphrase)} characters; it must have {MIN_LENGTH} or more. "
            "Remedy: choose a longer one."
        )
    salt = os.urandom(_SALT_BYTES)
    sealer = Sealer(_key(passphrase, salt))
    return Sealing(salt=salt.hex(), check=sealer.seal(_CHECK, context=_CHECK).hex()), sealer


def opened(sealing: Sealing, passphrase: str) -> Sealer:
    """Returns what opens. Raises `WrongPassphrase`."""
    sealer = Sealer(_key(passphrase, bytes.fromhex(sealing.salt)))
    try:
        sealer.open(bytes.fromhex(sealing.check), context=_CHECK)
    except SealBroken:
        raise WrongPassphrase(
            "The passphrase is not the one that the export was made with. Remedy: give that one, or export again."
        ) from None
    return sealer


def _key(passphrase: str, salt: bytes) -> bytes:
    return hash_secret_raw(passphrase.encode(), salt, _PASSES, _MEMORY_KIB, _LANES, KEY_BYTES, Type.ID)
