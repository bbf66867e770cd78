"""What is told of many measurements."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudserve.cli.bench.statistics import percentile, slope, spread

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


def test_a_slope_is_the_growth_for_each_step() -> None:
    """Of points that lie on a line, that line's."""
    assert slope([(0, 10), (1000, 12), (2000, 14)]) == pytest.approx(0.002)
