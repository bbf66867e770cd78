"""Rate limits: a token bucket for each key, in memory and of bounded size.

A bucket holds up to `burst` tokens and gains `rate_per_second` of them; what is admitted takes one (RFC 2697 describes
the same meter for packets). What is kept per key is one number, the generic cell rate algorithm's theoretical arrival
time (ITU-T I.371): the moment at which the bucket is full again.

The limits are of one process. When `max_keys` are known, the key that was used longest ago is forgotten, and its next
use finds a full bucket: choose a bound that makes this dearer for a caller than the limit.
"""

import time
from collections import OrderedDict


class TokenBuckets:
    """Buckets of one rate. Not thread-safe: for one event loop.

    Args:
        rate_per_second: tokens that a bucket gains each second; more than 0.
        burst: tokens that a full bucket holds; at least 1.
        max_keys: buckets that are remembered; at least 1.
    """

    def __init__(self, rate_per_second: float, burst: int, max_keys: int = 100_000) -> None:
        if rate_per_second <= 0 or burst < 1 or max_keys < 1:
            raise ValueError(f"no rate limit: {rate_per_second} a second, burst {burst}, {max_keys} keys")
        self._interval = 1 / rate_per_second
        self._tolerance = burst * self._interval
        self._max_keys = max_keys
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """Returns how many buckets are remembered."""
        return len(self._full_at)

    def take(self, key: str, now: float | None = None) -> float:
        """Takes a token; returns 0.0 when there was one, else the seconds until there is, and takes nothing.

        `now` is in seconds of any clock that never goes back; the default is the monotonic clock.
        """
        moment = time.monotonic() if now is None else now
        full_at = max(self._full_at.get(key, moment), moment) + self._interval
        wait = full_at - moment - self._tolerance
        # A token that is short by rounding alone counts: waiting exactly as long as was asked must be enough.
        if wait > 1e-9 * max(1.0, moment):
            return wait
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        if len(self._full_at) > self._max_keys:
            self._full_at.popitem(last=False)
        return 0.0

    def forget(self, key: str) -> None:
        """Fills a bucket again, such as that of an account whose owner has just signed in."""
        self._full_at.pop(key, None)
