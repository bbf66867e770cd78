"""Token buckets admit a burst, then a rate, and remember a bounded number of callers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudserve.core.ratelimit import TokenBuckets


def test_a_burst_is_admitted_and_the_next_call_waits() -> None:
    """The wait is the time until one token is there."""
    buckets = TokenBuckets(2, 3)
    assert [buckets.take("a", now=10.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert buckets.take("a", now=10.0) == pytest.approx(0.5)
    assert buckets.take("a", now=10.5) == 0.0


def test_being_refused_costs_nothing() -> None:
    """Who knocks without pause is admitted as soon as who waits."""
    buckets = TokenBuckets(1, 1)
    buckets.take("a", now=0.0)
    for tenth in range(1, 10):
        assert buckets.take("a", now=tenth / 10) > 0
    assert buckets.take("a", now=1.0) == 0.0


def test_keys_do_not_share_a_bucket() -> None:
    """One caller's burst is not another's."""
    buckets = TokenBuckets(1, 1)
    assert buckets.take("a", now=0.0) == 0.0
    assert buckets.take("b", now=0.0) == 0.0


def test_the_longest_unused_key_is_forgotten_first() -> None:
    """So that callers with ever new keys can't fill the memory."""
    buckets = TokenBuckets(1, 1, max_keys=2)
    for moment, key in enumerate("abc"):
        buckets.take(key, now=moment / 100)
    assert len(buckets) == 2
    assert buckets.take("c", now=0.5) > 0
    assert buckets.take("a", now=0.5) == 0.0


def test_a_forgotten_key_has_a_full_bucket() -> None:
    """Also when it was never known."""
    buckets = TokenBuckets(1, 1)
    buckets.take("a", now=0.0)
    buckets.forget("a")
    buckets.forget("never")
    assert buckets.take("a", now=0.0) == 0.0


def test_the_default_clock_is_this_machine_s() -> None:
    """Without a time, calls happen now."""
    buckets = TokenBuckets(0.001, 1)
    assert buckets.take("a") == 0.0
    assert buckets.take("a") == pytest.approx(1000, abs=1)


@pytest.mark.parametrize(("rate", "burst", "keys"), [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_a_limit_that_admits_nothing_is_refused(rate: float, burst: int, keys: int) -> None:
    """Off is for the caller to decide, by having no buckets."""
    with pytest.raises(ValueError, match="no rate limit"):
        TokenBuckets(rate, burst, keys)


@given(
    rate=st.floats(0.1, 1000),
    burst=st.integers(1, 50),
    pauses=st.lists(st.floats(0, 2), max_size=200),
)
def test_no_window_admits_more_than_burst_and_rate_allow(rate: float, burst: int, pauses: list[float]) -> None:
    """Whatever the arrivals, any stretch of time admits at most burst + rate x length; and the told wait suffices."""
    buckets = TokenBuckets(rate, burst)
    now, admitted = 1000.0, []
    for pause in pauses:
        now += pause
        wait = buckets.take("a", now=now)
        if wait:
            now += wait
            assert buckets.take("a", now=now) == 0.0
        admitted.append(now)
    for first, start in enumerate(admitted):
        for last in range(first, len(admitted)):
            assert last - first + 1 <= burst + rate * (admitted[last] - start) + 0.01
