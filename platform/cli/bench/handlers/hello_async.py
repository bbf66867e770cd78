"""For CloudServe: many calls at once in each worker."""

from typing import Any


async def handler(_context: Any) -> str:
    """Answers `hello`."""
    return "hello"
