"""A small assembler for classic BPF, the language of seccomp filters.

A program is put together from the end: every piece of code ends in a return, and a branch is given the code of both its
ways. So all jumps go forward, none can miss, and no piece falls through into the next.
Source: Documentation/networking/filter.rst and Documentation/userspace-api/seccomp_filter.rst of the Linux kernel.
"""

import struct
from collections.abc import Mapping
from itertools import pairwise
from typing import Final, NamedTuple

MAX_INSTRUCTIONS: Final = 4096
"""BPF_MAXINSNS: the kernel takes no longer program."""

_LOAD_WORD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND: Final = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP: Final = 0x05  # BPF_JMP | BPF_JA
_JUMP_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_JUMP_ANY_BIT: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_FARTHEST: Final = 255
"""A conditional jump holds its distance in a byte."""
_WORDS: Final = 1 << 32


class Instruction(NamedTuple):
    """`struct sock_filter` of linux/filter.h."""

    code: int
    if_true: int
    if_false: int
    value: int


Code = tuple[Instruction, ...]


def answer(value: int) -> Code:
    """Ends the program with a value."""
    return (Instruction(_RETURN, 0, 0, value),)


def load(offset: int, then: Code, *, mask: int | None = None) -> Code:
    """Loads the 32-bit word at an offset of the data, keeps the bits of the mask, and goes on."""
    kept = () if mask is None else (Instruction(_AND, 0, 0, mask),)
    return (Instruction(_LOAD_WORD, 0, 0, offset), *kept, *then)


def if_equal(value: int, then: Code, otherwise: Code) -> Code:
    """Branches on whether the loaded word is a value."""
    return _branch(_JUMP_EQUAL, value, then, otherwise)


def if_at_least(value: int, then: Code, otherwise: Code) -> Code:
    """Branches on whether the loaded word is a value or above."""
    return _branch(_JUMP_AT_LEAST, value, then, otherwise)


def if_any_bit(mask: int, then: Code, otherwise: Code) -> Code:
    """Branches on whether the loaded word has any bit of a mask."""
    return _branch(_JUMP_ANY_BIT, mask, then, otherwise)


def dispatch(cases: Mapping[int, Code], otherwise: Code) -> Code:
    """Branches on the loaded word by binary search, so that hundreds of cases cost eight comparisons or so."""
    runs: list[tuple[int, Code]] = [(0, otherwise)]
    for value in sorted(cases):
        if runs[-1][0] == value:
            runs.pop()
        runs.append((value, cases[value]))
        if value + 1 < _WORDS:
            runs.append((value + 1, otherwise))
    return _search([runs[0], *(run for before, run in pairwise(runs) if before[1] != run[1])])


def assemble(code: Code) -> bytes:
    """Returns the program as the kernel takes it. Raises ValueError when it is too long."""
    if len(code) > MAX_INSTRUCTIONS:
        raise ValueError(f"the filter has {len(code)} instructions; the kernel takes {MAX_INSTRUCTIONS} at most")
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _search(runs: list[tuple[int, Code]]) -> Code:
    """Finds the run that holds the loaded word; each begins where the one before it ends."""
    if len(runs) == 1:
        return runs[0][1]
    middle = len(runs) // 2
    return if_at_least(runs[middle][0], _search(runs[middle:]), _search(runs[:middle]))


def _branch(code: int, value: int, then: Code, otherwise: Code) -> Code:
    if len(then) <= _FARTHEST:
        return (Instruction(code, 0, len(then), value), *then, *otherwise)
    over = Instruction(_JUMP, 0, 0, len(then))
    return (Instruction(code, 1, 0, value), over, *then, *otherwise)
