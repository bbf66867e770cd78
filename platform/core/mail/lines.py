"""Text that stays in its line, whoever wrote it: the ground on which headers and letters can't be broken out of."""

import unicodedata
from typing import Final

# Controls, lone surrogates, and Unicode's own line and paragraph separators (UAX 44, table 12).
_BREAKING: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


def one_line(text: str) -> str:
    """Returns a text without controls and line breaks, its words a space apart; every other character stays."""
    return " ".join("".join(" " if unicodedata.category(c) in _BREAKING else c for c in text).split())
