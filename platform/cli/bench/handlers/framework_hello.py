"""For Functions Framework for Python, in its default mode."""

from typing import Any


def hello(_request: Any) -> str:
    """Answers `hello`."""
    return "hello"
