"""What is told of many measurements."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudserve.cli.bench.statistics import percentile, rise, spread

VALUES = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=50)


def test_a_spread_is_the_median_between_the_least_and_the_greatest() -> None:
    """In any order."""
    assert spread([5, 1, 9]) == {"median": 5, "low": 1, "high": 9}


@given(VALUES)
def test_the_median_lies_in_the_spread(values: list[float]) -> None:
    """Rounding included."""
    found = spread(values)
    assert found["low"] <= found["median"] <= found["high"]


def test_a_percentile_is_one_of_the_values() -> None:
    """The least that enough of them do not exceed."""
    values = [float(number) for number in range(1, 101)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile(values, 1) == 100
    assert percentile([7.0], 0.99) == 7


def test_figures_have_four_digits() -> None:
    """More would pretend a precision that no run has."""
    assert spread([123456.789])["median"] == 123500


def test_a_rise_is_the_growth_of_the_peaks() -> None:
    """For each step from one half to the other; what goes up and down without growing rises by nothing."""
    assert rise([(0, 10), (1000, 12), (2000, 14), (3000, 16)]) == pytest.approx(4 / 2000)
    assert rise([(0, 10), (1000, 30), (2000, 20), (3000, 30)]) == 0
    assert rise([(0, 30), (1000, 10), (2000, 10), (3000, 30)]) == 0
