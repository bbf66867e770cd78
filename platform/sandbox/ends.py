"""Why a worker ended, in words: from its exit status and what it wrote last to the failure of its calls."""

import contextlib
import signal
from typing import Final

from cloudserve.sandbox.failures import Failure
from cloudserve.sandbox.limits import out_of_memory

_ABORTED: Final = (signal.SIGABRT, signal.SIGILL, signal.SIGSEGV, signal.SIGTRAP)
"""What abort(3) ends with. The first process of a pid namespace, as a walled-off worker is, can't be ended by its own
SIGABRT (pid_namespaces(7)), and then runs into an instruction that it may not execute: which signal that is depends on
the processor."""


class WorkerLost(Exception):  # noqa: N818 - reads as what happened
    """A worker that ended, or refused its code, before it could take calls."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def cause_of(status: int, last_words: bytes, *, seen_kib: int, most_kib: int, memory_mb: int) -> Failure:
    """Returns why a process ended that nobody has killed.

    `status` is its exit code, or minus the signal. `seen_kib` is the most memory that the watchdog has seen it hold,
    `most_kib` what the kernel says of the whole process, which may have grown and ended between two looks.
    """
    if -status in _ABORTED and b"out of memory" in last_words:
        return out_of_memory(max(seen_kib, most_kib), memory_mb)
    words = last_words.decode("utf-8", "replace").strip() or None
    if status >= 0:
        message = f"The function's process ended with exit code {status}."
    else:
        name = str(-status)
        with contextlib.suppress(ValueError):
            name = signal.Signals(-status).name
        message = f"The function's process was ended by signal {name}."
    detail = words and f"{message}\n{words}"
    return Failure("crash", message, memory_kib=seen_kib, signal=-status if status < 0 else None, detail=detail)
