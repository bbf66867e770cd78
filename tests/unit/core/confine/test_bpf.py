"""The assembler: a program says what its pieces say, however long they are."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudserve.core.confine.bpf import (
    MAX_INSTRUCTIONS,
    answer,
    assemble,
    dispatch,
    if_any_bit,
    if_at_least,
    if_equal,
    load,
)
from tests.unit.core.confine.interpreter import verdict

_words = st.integers(0, 2**32 - 1)
_near = st.integers(0, 40) | _words


@given(cases=st.dictionaries(_near, _words, max_size=60), otherwise=_words, asked=_near)
def test_a_dispatch_answers_as_its_table(cases: dict[int, int], otherwise: int, asked: int) -> None:
    """Whatever the table, and whether the value is in it, beside it or between."""
    program = assemble(load(0, dispatch({value: answer(said) for value, said in cases.items()}, answer(otherwise))))
    for value in {asked, *cases}:
        assert verdict(program, value) == cases.get(value, otherwise)


@given(value=_near, mask=_words, asked=_words, limit=_near)
def test_a_branch_takes_the_way_its_condition_says(value: int, mask: int, asked: int, limit: int) -> None:
    """Equal, at least, any bit; with and without a mask on what is loaded."""
    yes, no = answer(1), answer(0)
    argument = 16
    for code, holds in (
        (load(argument, if_equal(value, yes, no)), asked == value),
        (load(argument, if_equal(value, yes, no), mask=mask), asked & mask == value),
        (load(argument, if_at_least(limit, yes, no)), asked >= limit),
        (load(argument, if_any_bit(mask, yes, no)), bool(asked & mask)),
    ):
        assert verdict(assemble(code), 0, asked) == holds


@given(st.sampled_from([254, 255, 256, 257, 1000]))
def test_a_long_piece_is_jumped_over(length: int) -> None:
    """A conditional jump reaches 255 instructions; beyond that goes one that reaches farther."""
    long = answer(1)
    for _ in range(length - 1):
        long = load(0, long)
    program = assemble(load(0, if_equal(7, long, answer(2))))
    assert (verdict(program, 7), verdict(program, 8)) == (1, 2)


def test_a_program_is_what_the_kernel_reads() -> None:
    """Eight bytes an instruction: code, two distances, a value."""
    program = assemble(load(4, if_equal(9, answer(1), answer(2))))
    assert list(struct.iter_unpack("=HBBI", program)) == [
        (0x20, 0, 0, 4),
        (0x15, 0, 1, 9),
        (0x06, 0, 0, 1),
        (0x06, 0, 0, 2),
    ]


def test_a_program_too_long_for_the_kernel_is_refused_here() -> None:
    """With the bound in the message."""
    code = answer(0)
    for _ in range(MAX_INSTRUCTIONS):
        code = load(0, code)
    with pytest.raises(ValueError, match="4096 at most"):
        assemble(code)
