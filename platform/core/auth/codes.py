"""Codes that prove that a mail address is someone's own: six digits, for ten minutes and five attempts.

A code is kept as its HMAC under a key of the platform: six digits alone would be found from a plain hash at once.
"""

import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import Final, Literal

from cloudserve.core.models.base import utc_now
from cloudserve.core.models.owner import Code
from cloudserve.core.store.abc import Store

DIGITS: Final = 6
LIFETIME: Final = timedelta(minutes=10)
ATTEMPTS: Final = 5

Purpose = Literal["verify", "reset"]


class CodeBook:
    """Issues codes and checks them."""

    def __init__(self, store: Store, secrets_key: bytes) -> None:
        self._store = store
        self._key = hmac.digest(secrets_key, b"cloudserve codes", hashlib.sha256)

    async def issue(self, owner_id: str, purpose: Purpose) -> str:
        """Returns a fresh code, which replaces the earlier one of the same purpose."""
        code = "".join(secrets.choice("0123456789") for _ in range(DIGITS))
        await self._store.codes.put(
            Code(
                owner_id=owner_id,
                purpose=purpose,
                code_hash=self._hash(owner_id, purpose, code),
                expires_at=utc_now() + LIFETIME,
            )
        )
        return code

    async def redeem(self, owner_id: str, purpose: Purpose, code: str) -> bool:
        """Tells whether a code is the right one, and uses it up. A wrong one counts as an attempt."""
        kept = await self._store.codes.attempt(owner_id, purpose, limit=ATTEMPTS)
        if kept is None or kept.expires_at <= utc_now():
            return False
        if not hmac.compare_digest(kept.code_hash, self._hash(owner_id, purpose, code)):
            return False
        await self._store.codes.delete(owner_id, purpose)
        return True

    def _hash(self, owner_id: str, purpose: Purpose, code: str) -> str:
        return hmac.new(self._key, f"{owner_id}/{purpose}/{code}".encode(), hashlib.sha256).hexdigest()
