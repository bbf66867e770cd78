"""A sum has the average that it was made from."""

from hypothesis import given
from hypothesis import strategies as st

from cloudserve.core.store.averages import total_of


@given(total=st.floats(0, 1e12), count=st.integers(1, 10**9))
def test_an_average_of_a_store_survives(total: float, count: int) -> None:
    """Whatever was counted up, to the last bit."""
    average = total / count
    assert total_of(average, count) / count == average


def test_of_nothing_there_is_nothing() -> None:
    """A function that was never called has no totals."""
    assert total_of(0, 0) == 0
