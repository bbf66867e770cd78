"""Runs a piece of code in a forked child, which may then do to itself what can't be undone."""

import os
import pickle
import signal
import sys
from collections.abc import Callable
from typing import Any


def forked(work: Callable[[], Any]) -> Any:
    """Returns what `work` returned in a child of its own; raises what it raised. It must be picklable."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(30)
            os.close(read_end)
            try:
                outcome = (True, work())
            except BaseException as error:  # noqa: BLE001 - all of it is the parent's to judge
                outcome = (False, error)
            with os.fdopen(write_end, "wb") as stream:
                stream.write(pickle.dumps(outcome))
            os._exit(0)
        finally:
            sys.stderr.flush()
            os._exit(1)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as stream:
        data = stream.read()
    _, status = os.waitpid(pid, 0)
    if not data:
        raise AssertionError(f"the child said nothing and ended with {os.waitstatus_to_exitcode(status)}")
    worked, result = pickle.loads(data)
    if not worked:
        raise result
    return result
