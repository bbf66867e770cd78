"""The table of attacks and the tests that hold it name the same attacks."""

from cloudserve.core.confine.attacks import ATTACKS
from tests.security import (
    test_blocked,
    test_exhausting,
    test_forging,
    test_judges,
    test_left_behind,
    test_outliving,
    test_seeing,
)


def test_every_row_is_held_by_a_test() -> None:
    """And no test is about an attack that the table leaves out."""
    suites = (
        test_blocked,
        test_exhausting,
        test_forging,
        test_judges,
        test_left_behind,
        test_outliving,
        test_seeing,
    )
    covered = [name for suite in suites for name in suite.COVERS]
    assert sorted(covered) == sorted(attack.name for attack in ATTACKS)
