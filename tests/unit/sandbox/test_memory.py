"""What a process holds alone."""

import mmap
import os

from cloudserve.sandbox.memory import resident_kib


def test_memory_of_a_process_grows_with_what_it_holds() -> None:
    """Touched pages count."""
    size = 32 * 1024 * 1024
    before = resident_kib(os.getpid())
    # A mapping of its own: what the allocator hands out may be memory that this process held before.
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:
        held.write(b"x" * size)
        assert resident_kib(os.getpid()) - before > 24 * 1024


def test_a_process_that_has_ended_holds_nothing() -> None:
    """There is no error to handle for a process that is gone."""
    assert resident_kib(2**22 + 1) == 0
