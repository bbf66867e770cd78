"""Catches what user code prints and logs, per call and with its level.

`sys.stdout` becomes level info, `sys.stderr` error; records of `logging` keep their own level. A line belongs to the
call in whose context it was written; outside any context (a thread that user code started) to the only call under way;
else to the worker itself (call id 0). A call keeps `max_bytes` of text, of which a line takes `LEAST_LINE_BYTES` at
least; the rest is dropped, counted and said to be.
"""

import contextvars
import io
import logging
import os
import sys
from typing import Any, Final, NoReturn

from cloudserve.sandbox.runtimes.python.wire import Wire

LEAST_LINE_BYTES: Final = 64
_MAX_LINE: Final = 16 * 1024


class CallLog:
    """What one call has printed so far: unfinished lines, and the room that is left."""

    __slots__ = ("call_id", "dropped", "open_lines", "room")

    def __init__(self, call_id: int, room: int) -> None:
        self.call_id = call_id
        self.open_lines: dict[str, str] = {}
        self.room = room
        self.dropped = 0


current: contextvars.ContextVar[CallLog | None] = contextvars.ContextVar("cloudserve_call", default=None)


class Logs:
    """The catcher of one worker, which keeps so many bytes of each call."""

    def __init__(self, wire: Wire, max_bytes: int) -> None:
        self._wire = wire
        self._max_bytes = max_bytes
        self._worker = CallLog(0, max_bytes)
        self._calls: dict[int, CallLog] = {}

    def install(self) -> None:
        """Takes the place of the standard streams, and listens to `logging`."""
        sys.stdout = _Stream(self, "info", sys.__stdout__)
        sys.stderr = _Stream(self, "error", sys.__stderr__)
        plain_emit = logging.StreamHandler.emit

        def emit(handler: "logging.StreamHandler[Any]", record: logging.LogRecord) -> None:
            if isinstance(handler.stream, _Stream):
                try:
                    self.line(_level_of(record.levelno), handler.format(record))
                except Exception:  # noqa: BLE001 - what logging does with a bad record is its own matter
                    handler.handleError(record)
            else:
                plain_emit(handler, record)

        plain_exit, own = os._exit, os.getpid()

        def leave(status: int) -> NoReturn:
            os._exit = plain_exit
            if os.getpid() == own:  # and not a child that the function forked
                self._finish_all()
            plain_exit(status)

        os._exit = leave  # an unfinished line would be lost with the process
        logging.StreamHandler.emit = emit  # type: ignore[method-assign, assignment] # keeps each record's level
        logging.getLogger().setLevel(logging.INFO)

    def begin(self, call_id: int) -> CallLog:
        """Opens the log of a call, in the current context."""
        log = self._calls[call_id] = CallLog(call_id, self._max_bytes)
        current.set(log)
        return log

    def finish(self, log: CallLog) -> None:
        """Closes the log of a call: what stands without a newline becomes a line."""
        if log.open_lines:
            for level, text in log.open_lines.items():
                self._send(log, level, text)
            log.open_lines.clear()
        if log.dropped:
            self._wire.log_cut_off(log.call_id, log.dropped)
        self._calls.pop(log.call_id, None)
        current.set(None)

    def write(self, level: str, text: str) -> None:
        """Takes text as a stream gets it; whole lines go out."""
        log = self._owner()
        text = log.open_lines.pop(level, "") + text
        *lines, rest = text.split("\n")
        for line in lines:
            self._send(log, level, line)
        if len(rest) > _MAX_LINE:
            self._send(log, level, rest)
        elif rest:
            log.open_lines[level] = rest

    def line(self, level: str, text: str) -> None:
        """Takes one whole entry."""
        self._send(self._owner(), level, text)

    def _finish_all(self) -> None:
        """Closes every log, because the process is about to end."""
        for log in [*self._calls.values(), self._worker]:
            self.finish(log)

    def _owner(self) -> CallLog:
        log = current.get()
        if log is not None and log.call_id in self._calls:
            return log
        if len(self._calls) == 1:
            return next(iter(self._calls.values()))
        return self._worker

    def _send(self, log: CallLog, level: str, text: str) -> None:
        if log.room <= 0:
            self._drop(log, max(len(text) + 1, LEAST_LINE_BYTES))
            return
        kept = text[: log.room]
        log.room -= max(len(kept) + 1, LEAST_LINE_BYTES)
        self._wire.log(log.call_id, level, kept)
        if len(kept) < len(text):
            self._drop(log, len(text) - len(kept))

    def _drop(self, log: CallLog, size: int) -> None:
        """Counts what is not kept. It is said at once, as a call may not live to say it, and again with the end."""
        if log.call_id and not log.dropped:
            self._wire.log_cut_off(log.call_id, size)
        log.dropped += size


class _Stream(io.TextIOBase):
    """A standard stream whose text goes to the log."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, logs: Logs, level: str, raw: object) -> None:
        super().__init__()
        self._logs = logs
        self._level = level
        self._raw = raw

    @property
    def buffer(self) -> "_Bytes":
        return _Bytes(self)

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._logs.write(self._level, text)
        return len(text)

    def fileno(self) -> int:
        return {"info": 1}.get(self._level, 2)


class _Bytes(io.RawIOBase):
    """The binary face of a standard stream."""

    def __init__(self, stream: _Stream) -> None:
        super().__init__()
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        raw = bytes(data)  # type: ignore[call-overload] # any buffer, as of every binary stream
        self._stream.write(raw.decode("utf-8", "backslashreplace"))
        return len(raw)


def _level_of(number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warn"
    return "info" if number >= logging.INFO else "debug"
