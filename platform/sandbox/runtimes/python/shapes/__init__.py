"""The shapes a function may have, in the order they are tried; each is one file.

A shape looks at a loaded module and returns a `Handler`, or None when the module has another shape. `hint` is what the
version's `handler` says: `SHAPE`, `EXPORT` or `SHAPE:EXPORT`, where SHAPE is a name of `TABLE`; a dotted EXPORT, as in
Lambda's `app.lambda_handler`, counts from its last dot.
"""

from types import ModuleType
from typing import Final

from cloudserve.sandbox.runtimes.python.shapes import aws_lambda, cloudserve
from cloudserve.sandbox.runtimes.python.shapes.abc import Facts, Finder, Handler, NoHandler

TABLE: Final[dict[str, Finder]] = {
    "lambda": aws_lambda.find,
    "cloudserve": cloudserve.find,
}


def find_handler(module: ModuleType, hint: str | None, facts: Facts) -> Handler:
    """Returns what a module's calls are handed to. Raises `NoHandler`."""
    shape, export = read_hint(hint)
    if export is not None and not hasattr(module, export):
        raise NoHandler(f"The code has no `{export}`, which the function's `handler` setting names.")
    for name, find in TABLE.items():
        if shape in (None, name):
            handler = find(module, export, facts, asked=shape is not None)
            if handler is not None:
                return handler
    raise NoHandler(
        "The code exports nothing that can be called. Define `def handler(context)`, `def lambda_handler(event, "
        "context)`, or set the function's `handler` to the name to call."
    )


def read_hint(hint: str | None) -> tuple[str | None, str | None]:
    """Returns the shape and the export that a `handler` setting names."""
    if not hint:
        return None, None
    shape, separator, export = hint.partition(":")
    if not separator:
        return (hint, None) if hint in TABLE else (None, hint.rpartition(".")[2])
    if shape not in TABLE:
        raise NoHandler(f"The `handler` setting names the shape `{shape}`; there are {', '.join(TABLE)}.")
    return shape, export.rpartition(".")[2] or None
