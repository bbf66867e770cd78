"""What a process holds alone."""

import os

from cloudserve.sandbox.memory import resident_kib


def test_memory_of_a_process_grows_with_what_it_holds() -> None:
    """Touched pages count."""
    before = resident_kib(os.getpid())
    held = bytearray(b"x") * (32 * 1024 * 1024)
    assert resident_kib(os.getpid()) - before > 24 * 1024
    assert held


def test_a_process_that_has_ended_holds_nothing() -> None:
    """There is no error to handle for a process that is gone."""
    assert resident_kib(2**22 + 1) == 0
