"""How long to wait before a process is started again."""

from itertools import accumulate, repeat

from cloudserve.cli.supervision.waits import MAX_WAIT, next_wait


def test_waits_double_up_to_a_bound() -> None:
    """While the process ends soon after each start."""
    waits = list(accumulate(repeat(0.1, 8), next_wait, initial=0.0))
    assert waits == [0.0, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, MAX_WAIT, MAX_WAIT]


def test_a_process_that_has_lasted_is_started_again_at_once() -> None:
    """And the waits begin anew."""
    assert next_wait(MAX_WAIT, 60.0) == 0.0
