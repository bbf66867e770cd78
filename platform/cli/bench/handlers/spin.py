"""For CloudServe: a function that takes all the CPU it gets, for a second."""

import time
from typing import Any


def handler(_context: Any) -> str:
    """Answers `hello` after a second of computing."""
    until = time.monotonic() + 1
    while time.monotonic() < until:
        pass
    return "hello"
