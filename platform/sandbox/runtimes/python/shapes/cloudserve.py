"""CloudServe's own shape: `handler(context)`, sync or async, or a plain value named `handler`.

A handler without parameters is called without the context.
"""

from types import ModuleType
from typing import Any

from cloudserve.sandbox.runtimes.python.context import make_context
from cloudserve.sandbox.runtimes.python.request import Request
from cloudserve.sandbox.runtimes.python.responses import respond
from cloudserve.sandbox.runtimes.python.shapes.abc import Facts, Handler, NoHandler, is_async, positional_names

_NAMES = ("handler", "main", "default")


def find(module: ModuleType, export: str | None, facts: Facts, *, asked: bool) -> Handler | None:
    """Finds `handler`, `main` or `default`, or what the version names."""
    names = (export,) if export else _NAMES
    name = next((name for name in names if hasattr(module, name)), None)
    if name is None:
        return None
    target = getattr(module, name)
    if isinstance(target, ModuleType):
        raise NoHandler(f"`{name}` is a module; it must be a function or a value.")
    if not callable(target):
        return Handler(lambda _request: target, respond)
    return Handler(_caller(target, facts), respond, is_async(target))


def _caller(function: Any, facts: Facts) -> Any:
    parameters = positional_names(function)
    if parameters == []:
        return lambda _request: function()
    name, version = facts.function_name, facts.version

    def call(request: Request) -> Any:
        return function(make_context(request, name, version))

    return call
