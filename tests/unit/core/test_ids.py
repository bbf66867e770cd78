"""Ids are unique, well-formed and sort by the time they were made."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cloudserve.core.ids import is_id, milliseconds_of, new_id


def test_ids_of_one_process_sort_in_the_order_they_were_made() -> None:
    """Also within one millisecond."""
    ids = [new_id() for _ in range(5_000)]
    assert ids == sorted(ids)
    assert all(is_id(identifier) for identifier in ids)


def test_ids_made_by_many_threads_are_unique() -> None:
    """No two threads get the same one."""
    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(lambda _: [new_id() for _ in range(1_000)], range(8)))
    assert len({identifier for batch in batches for identifier in batch}) == 8_000


def test_an_id_tells_when_it_was_made() -> None:
    """To the millisecond."""
    before = time.time_ns() // 1_000_000
    made = milliseconds_of(new_id())
    assert before <= made <= time.time_ns() // 1_000_000


@pytest.mark.parametrize("text", ["", "x", "0" * 25, "0" * 27, "8" + "0" * 25, "U" * 26, "l" * 26])
def test_what_is_no_id_is_refused(text: str) -> None:
    """Letters outside the alphabet, other lengths and values over 128 bits."""
    assert not is_id(text)
    with pytest.raises(ValueError, match="not an id"):
        milliseconds_of(text)
