"""What of a folder is left out of a deploy: a `.cloudserveignore`, written like a `.gitignore`.

A pattern without a slash matches a name at any depth, one with a slash a path from the folder's top; `*` and `?` stop
at slashes, `**` does not; a slash at the end means folders alone; `!` takes a path back in; the last pattern that
matches decides. What is in an ignored folder can't be taken back in. (The rules are those of gitignore(5).)
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

IGNORE_FILE: Final = ".cloudserveignore"
ALWAYS: Final = frozenset({".git", "node_modules", ".venv", "__pycache__", IGNORE_FILE})


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    folders_only: bool
    takes_back: bool


class IgnoreRules:
    """The rules of one file. Blank lines and lines that begin with `#` say nothing."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self._rules = [rule for line in lines if (rule := _parse(line)) is not None]

    def ignores(self, path: str, *, is_folder: bool) -> bool:
        """Tells whether `path`, relative to the folder and with forward slashes, is left out."""
        if path.rpartition("/")[2] in ALWAYS:
            return True
        ignored = False
        for rule in self._rules:
            if (is_folder or not rule.folders_only) and rule.pattern.fullmatch(path):
                ignored = not rule.takes_back
        return ignored


def _parse(line: str) -> _Rule | None:
    text = line.rstrip("\r\n").rstrip()
    if not text or text.startswith("#"):
        return None
    takes_back = text.startswith("!")
    text = text.removeprefix("!")
    folders_only = text.endswith("/")
    text = text.rstrip("/")
    anchored = "/" in text
    text = text.removeprefix("/")
    if not text:
        return None
    return _Rule(re.compile(("" if anchored else "(?:.*/)?") + _regex(text), re.DOTALL), folders_only, takes_back)


def _regex(pattern: str) -> str:
    """Translates a glob, one piece at a time: what comes first in the alternation wins."""
    pieces = []
    for piece in re.findall(r"\*\*/|/\*\*$|\*+|\?|\\.|\[[!^]?\]?[^\]]*\]|.", pattern, re.DOTALL):
        match piece:
            case "**/":
                pieces.append("(?:.*/)?")
            case "/**":
                pieces.append("/.+")
            case "?":
                pieces.append("[^/]")
            case _ if piece.startswith("*"):
                pieces.append("[^/]*")
            case _ if piece.startswith("[") and len(piece) > 1:
                pieces.append(_one_of(piece[1:-1]))
            case _:
                pieces.append(re.escape(piece[-1]))
    return "".join(pieces)


def _one_of(inside: str) -> str:
    negated = inside.startswith(("!", "^"))
    # A range that ends before it begins holds no letter, which `re` calls an error.
    ranges = [
        f"{re.escape(first)}-{re.escape(last or first)}"
        for first, last in re.findall(r"(.)(?:-(.))?", inside[negated:], re.DOTALL)
        if first <= (last or first)
    ]
    if not ranges:
        return "(?!)"
    return f"[{'^/' if negated else ''}{''.join(ranges)}]"
