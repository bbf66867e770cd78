"""The keys that callers come with, cached by their SHA-256; the text of a key is never kept.

Guarantees
- A key that was asked for before, known or not, is answered from memory; many callers of one key ask the store once,
  and wait no longer than `lookups` says.
- A key made, changed or ended elsewhere is seen as soon as the change feed tells of it, also when it was being looked
  up at that moment.
- Last uses are noted in memory and written every few seconds and at the end; losing a few of them is harmless.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cloudserve.core.models.owner import ApiKey
from cloudserve.core.store.abc import Change, Store, StoreError
from cloudserve.gateway.lookups import Lookups

TOUCH_SECONDS: Final = 5.0
_TOUCH_TIMEOUT_SECONDS: Final = 10.0
MOST_KNOWN: Final = 50_000
MOST_UNKNOWN: Final = 10_000
_LOOKED_UP_AT_ONCE: Final = 16
"""What strangers make up must leave the change feed and the delivery of records their share of a slow store."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KnownKey:
    """What the gateway needs of a key; `expires` in seconds since 1970."""

    id: str
    owner_id: str
    may_invoke: bool
    function_ids: frozenset[str] | None
    expires: float | None

    @classmethod
    def of(cls, key: ApiKey) -> "KnownKey":
        """Takes what is needed from a key's row."""
        return cls(
            id=key.id,
            owner_id=key.owner_id,
            may_invoke="invoke" in key.scopes,
            function_ids=None if key.function_ids is None else frozenset(key.function_ids),
            expires=None if key.expires_at is None else key.expires_at.timestamp(),
        )


class Keys:
    """The cache of keys. `start` before use, `close` after. `away` tells whether the store is known to be away."""

    def __init__(
        self,
        store: Store,
        *,
        away: Callable[[], bool],
        most_known: int = MOST_KNOWN,
        most_unknown: int = MOST_UNKNOWN,
    ) -> None:
        self._store = store
        self._most_known = most_known
        self._most_unknown = most_unknown
        self._known: dict[bytes, KnownKey] = {}
        self._unknown: dict[bytes, None] = {}
        self._lookups = Lookups(self._look_up, asked="the store", away=away)
        self._turns = asyncio.Semaphore(_LOOKED_UP_AT_ONCE)
        self._changes = 0
        self._uses: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to write last uses."""
        self._task = asyncio.create_task(self._touch_now_and_then(), name="gateway-keys")

    async def close(self) -> None:
        """Writes the last uses, and stops."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self._lookups.close()
        await self._touch()

    def cached(self, text: bytes) -> KnownKey | None:
        """Returns the key with this text if it is in memory."""
        return self._known.get(hashlib.sha256(text).digest())

    async def find(self, text: bytes) -> KnownKey | None:
        """Returns the key with this text.

        When it takes the store to tell, raises `StoreError` if that is away and `Problem` (503) if it is slow.
        """
        digest = hashlib.sha256(text).digest()
        known = self._known.get(digest)
        if known is not None:
            return known
        if digest in self._unknown:
            return None
        return await self._lookups.find(digest)

    def used(self, key: KnownKey, now: float) -> None:
        """Notes that a key was used."""
        self._uses[key.id] = now

    def changed(self, change: Change) -> None:
        """Forgets what a change makes doubtful."""
        if change.kind != "key":
            return
        self._changes += 1
        self._unknown.clear()
        for digest in [digest for digest, key in self._known.items() if key.id == change.id]:
            del self._known[digest]

    async def _look_up(self, digest: bytes) -> KnownKey | None:
        async with self._turns:
            while True:
                changes = self._changes
                row = await self._store.keys.by_hash(digest.hex())
                if changes == self._changes:
                    break
        if row is None:
            _bound(self._unknown, self._most_unknown)
            self._unknown[digest] = None
            return None
        _bound(self._known, self._most_known)
        key = self._known[digest] = KnownKey.of(row)
        return key

    async def _touch_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(TOUCH_SECONDS)
            await self._touch()

    async def _touch(self) -> None:
        uses, self._uses = self._uses, {}
        if not uses:
            return
        try:
            async with asyncio.timeout(_TOUCH_TIMEOUT_SECONDS):
                await self._store.keys.touch({key: datetime.fromtimestamp(at, UTC) for key, at in uses.items()})
        except (StoreError, TimeoutError) as error:
            _log.warning("the last use of %d keys was not written: %r", len(uses), error)
            self._uses = uses | self._uses


def _bound(cache: "dict[bytes, KnownKey] | dict[bytes, None]", most: int) -> None:
    """Makes room for one more: the oldest entry goes."""
    if len(cache) >= most:
        del cache[next(iter(cache))]
