"""Who may call: a key or a public function, then the rate limits. Raises the `Problem` of whoever may not.

| caller | answer |
|---|---|
| no key, an unknown, expired or ended one | 401 |
| a key of another owner | 404, as if the function did not exist |
| a key of the owner without the scope `invoke`, or for other functions only | 403 |
| more calls than the limit of the key or the owner | 429 with Retry-After |

A public function takes every caller. One who comes with a good key of its owner is still told what only the owner may
know; a bad key makes no difference there.
"""

import time
from typing import Final

from cloudserve.core.errors import Problem
from cloudserve.core.ratelimit import TokenBuckets
from cloudserve.core.store.abc import StoreError
from cloudserve.gateway.errors import rate_limited, unavailable, unknown_function
from cloudserve.gateway.keys import Keys, KnownKey
from cloudserve.gateway.route import Route

_CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}


class Admission:
    """Decides for each call. Without `buckets` there is no limit."""

    def __init__(self, keys: Keys, buckets: TokenBuckets | None) -> None:
        self._keys = keys
        self._buckets = buckets

    async def admit(self, route: Route, credential: bytes | None, now: float) -> KnownKey | None:
        """Returns the owner's key that the call came with, None for an anonymous caller of a public function.

        `now` in seconds since 1970.
        """
        key = None
        if credential:
            key = self._keys.cached(credential) or await self._find(credential)
        return self.admit_known(route, key, now, given=credential is not None)

    def cached(self, credential: bytes) -> KnownKey | None:
        """Returns the key that a call came with if it is in memory, for `admit_known`."""
        return self._keys.cached(credential)

    def admit_known(self, route: Route, key: KnownKey | None, now: float, *, given: bool) -> KnownKey | None:
        """Decides like `admit`, of a key that was looked up; `given` tells that the call came with one."""
        if key is not None and key.expires is not None and key.expires <= now:
            key = None
        if not route.public:
            key = _required(route, key, given=given)
        elif key is not None and _refusal(route, key) is not None:
            key = None
        if self._buckets is not None:
            self._limit(self._buckets, route, key)
        if key is not None:
            self._keys.used(key, now)
        return key

    async def _find(self, credential: bytes) -> KnownKey | None:
        try:
            return await self._keys.find(credential)
        except StoreError as error:
            raise unavailable(
                "The store can't be reached, and this gateway does not know the key. Try again soon."
            ) from error

    def _limit(self, buckets: TokenBuckets, route: Route, key: KnownKey | None) -> None:
        now = time.monotonic()
        wait = buckets.take(route.owner_id, now)
        if key is not None and wait <= 0:
            wait = buckets.take(key.id, now)
        if wait > 0:
            raise rate_limited(wait)


def _required(route: Route, key: KnownKey | None, *, given: bool) -> KnownKey:
    if key is None:
        raise Problem(
            401,
            "This key is not known, or has ended."
            if given
            else "This function needs a key: send it as `api-key` or as `Authorization: Bearer`.",
            reason="unknown-key" if given else "no-key",
            component="gateway",
            headers=_CHALLENGE,
        )
    refusal = _refusal(route, key)
    if refusal is not None:
        raise refusal
    return key


def _refusal(route: Route, key: KnownKey) -> Problem | None:
    if key.owner_id != route.owner_id:
        return unknown_function(route.owner, route.name)
    if not key.may_invoke:
        return Problem(403, "This key lacks the scope `invoke`.", reason="missing-scope", component="gateway")
    if key.function_ids is not None and route.function_id not in key.function_ids:
        return Problem(403, "This key is for other functions.", reason="other-function", component="gateway")
    return None
