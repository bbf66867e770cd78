"""For Functions Framework for Python, with `--asgi`."""

from typing import Any


async def hello(_request: Any) -> str:
    """Answers `hello`."""
    return "hello"
