"""What a worker's process writes past the streams of its language: native code, child processes, a dying interpreter.

It comes through a pipe, as raw text. The last of it tells why a process died.
"""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Final

from cloudserve.sandbox.abc import LogEntry

_READ_BYTES: Final = 64 * 1024
_LAST_WORDS_BYTES: Final = 4096


class Output:
    """The reading end of one worker's output; each line goes to `on_line`. `close` it once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_line: Callable[[LogEntry], None]) -> None:
        self.last_words = b""
        self._loop = loop
        self._on_line = on_line
        self._descriptor = -1

    def open(self) -> int:
        """Makes the pipe and returns the end for the process, which the caller closes."""
        self._descriptor, theirs = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._descriptor, False)
        self._loop.add_reader(self._descriptor, self.read)
        return theirs

    def read(self) -> None:
        """Takes what has come."""
        if self._descriptor < 0:
            return
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._loop.remove_reader(self._descriptor)
            return
        self.last_words = (self.last_words + data)[-_LAST_WORDS_BYTES:]
        now = time.time()
        for line in data.decode("utf-8", "replace").splitlines():
            self._on_line(LogEntry(now, "info", line))

    def close(self) -> None:
        """Takes what is left, and closes the pipe."""
        self.read()
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
