"""Faults as the wire has them: what went wrong, for the function's owner."""

import json
import traceback
from pathlib import Path
from typing import Final

from cloudserve.sandbox.runtimes.python.exhaustion import limit_of
from cloudserve.sandbox.runtimes.python.memory import peak_kib
from cloudserve.sandbox.runtimes.python.responses import BadResponse
from cloudserve.sandbox.runtimes.python.shapes.abc import NoHandler

_OURS: Final = str(Path(__file__).parent)
_MAX_STACK: Final = 16 * 1024
_MAX_MESSAGE: Final = 4 * 1024


def describe(error: BaseException, code: str, *, loading: bool = False) -> bytes:
    """Returns the payload of a fault; the stack begins in user code and names files relative to it."""
    if isinstance(error, BadResponse):
        reason = "bad-response"
    elif isinstance(error, NoHandler):
        reason = "no-handler"
    else:
        reason = "load-failed" if loading else "exception"
    return json.dumps(
        {
            "reason": reason,
            "name": type(error).__name__,
            "message": _message(error)[:_MAX_MESSAGE],
            "stack": "" if isinstance(error, BadResponse | NoHandler) else _stack(error, code),
            "memoryKib": peak_kib(),
            **limit_of(error),
        }
    ).encode()


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - user code can fail in __str__ too
        return ""


def _stack(error: BaseException, code: str) -> str:
    try:
        report = traceback.TracebackException.from_exception(error)
        part: traceback.TracebackException | None = report
        while part is not None:
            _drop_ours(part)
            part = part.__cause__ or part.__context__
        text = "".join(report.format())
    except (RecursionError, MemoryError):
        return ""
    return text.replace(code + "/", "")[-_MAX_STACK:]


def _drop_ours(report: traceback.TracebackException) -> None:
    frames = [item for item in report.stack if not item.filename.startswith((_OURS, "<frozen importlib"))]
    report.stack = traceback.StackSummary.from_list(frames)
