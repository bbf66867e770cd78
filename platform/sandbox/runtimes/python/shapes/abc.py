"""What a shape makes of a module: something that answers requests."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

from cloudserve.sandbox.runtimes.python.request import Request
from cloudserve.sandbox.runtimes.python.responses import Response


class NoHandler(Exception):  # noqa: N818 - reads as what it is
    """A module that has nothing to call."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What handlers are told of their function."""

    function_name: str
    version: int
    memory_mb: int


@dataclass(frozen=True, slots=True)
class Handler:
    """`call` runs user code, `respond` makes an answer of what it returned.

    Where `is_async`, `call` returns an awaitable, and calls run on an event loop.
    """

    call: Callable[[Request], Any]
    respond: Callable[[Any], Response]
    is_async: bool = False


class Finder(Protocol):
    """Looks for one shape; `asked` when the version names this shape."""

    def __call__(self, module: ModuleType, export: str | None, facts: Facts, *, asked: bool) -> Handler | None: ...


def is_async(function: Any) -> bool:
    """Tells whether calling it gives an awaitable or an async generator."""
    for candidate in (function, getattr(function, "__call__", None)):  # noqa: B004 - an object with an async __call__
        inner = inspect.unwrap(candidate) if callable(candidate) else candidate
        if inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner):
            return True
    return False


def positional_names(function: Any) -> list[str] | None:
    """Returns the names of the parameters that a call must or may fill by position; None when it can't be told."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    return [item.name for item in parameters if item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)]


def accepts(function: Any, count: int) -> bool:
    """Tells whether it can be called with so many arguments; yes, where that can't be told."""
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:
        return True
    return True
