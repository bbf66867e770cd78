"""For CloudServe: one call at a time in each worker."""

from typing import Any


def handler(_context: Any) -> str:
    """Answers `hello`."""
    return "hello"
