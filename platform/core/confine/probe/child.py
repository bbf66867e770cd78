"""What the tries have in common: children, and calls that must fail."""

import os
from collections.abc import Callable

Try = Callable[[], object]
"""Tries one layer, in a process of its own. Returns what it found besides; raises OSError, or `NoEffectError`."""


class NoEffectError(Exception):
    """The kernel took it, and it keeps nobody from anything."""


def must_fail(call: Try, code: int) -> None:
    try:
        call()
    except OSError as error:
        if error.errno == code:
            return
    raise NoEffectError


def in_child(call: Try) -> None:
    """Runs a call in a forked child. Raises OSError with the errno that it ended with."""
    child = os.fork()
    if child == 0:
        try:
            call()
        except OSError as error:
            os._exit(error.errno or 1)
        os._exit(0)
    succeeded(child)


def succeeded(child: int) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        raise OSError(abs(code), "in the child")
