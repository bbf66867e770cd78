"""One call's life in the sandbox: waiting, in a worker, answered or failed."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from cloudserve.core.models.execution import ExecutionStatus, Level
from cloudserve.sandbox.abc import Answer, Call, ColdStart, InvocationFailed, LogEntry, OnEnd, Outcome
from cloudserve.sandbox.answers import StreamedAnswer, WholeAnswer
from cloudserve.sandbox.failures import Failure, error_of
from cloudserve.sandbox.heads import BadHead, check_status, read_head
from cloudserve.sandbox.limits import log_cut
from cloudserve.sandbox.protocol import CUT_OFF, LEVELS, LOG_HEAD, RESULT_HEAD, STREAM_HEAD

LEAST_LINE_BYTES: Final = 64
"""What a line counts for at least: its level and time take that much in a record, however short its text is."""

_LATEST_TIME: Final = 2.0**32
"""Seconds since 1970, in the year 2106. A worker may claim any moment; no record could hold every one."""

_MOST_DIGITS: Final = 15
_HEAD_BYTES: Final = RESULT_HEAD.size


class Flight:
    """A call and everything that is known of it; `on_end` gets the `Answer` or the `InvocationFailed`.

    What most calls never use is a default of the class: one of these is made for each call.
    """

    queued = 0.0
    begun = 0.0
    deadline = 0.0
    call_id = 0
    received = 0
    log_limit = 0
    log_room = 0
    logs_dropped = 0
    logs_truncated = False
    ended = False
    answered = False
    """Nobody waits for an answer: it was handed out, or the call was given up."""
    cold: ColdStart | None = None
    answer: StreamedAnswer | None = None
    logs: list[LogEntry] | None = None
    upload: "asyncio.Task[None] | None" = None
    window: asyncio.Event | None = None
    on_given_up: "Callable[[Flight], None] | None" = None

    def __init__(self, call: Call, on_end: OnEnd) -> None:
        self.call = call
        self.on_end = on_end

    def give_up(self) -> None:
        """Ends the call for its caller, who is gone; nothing happens to one that has ended."""
        if self.ended:
            return
        self.answered = True
        if self.on_given_up is not None:
            self.on_given_up(self)
        self.fail(Failure("exception", "The caller went away.", name="Cancelled"))

    def allow_log(self, size: int) -> None:
        """Says how much of its output is kept."""
        self.log_limit = size
        self.log_room = size + LEAST_LINE_BYTES  # a worker counts the last line that it cuts as a whole one

    def log(self, payload: bytes) -> None:
        """Takes a LOG frame."""
        entry = log_entry(payload)
        if isinstance(entry, LogEntry):
            self.add_log(entry)
        else:
            self.logs_truncated = True
            self.logs_dropped = entry

    def add_log(self, entry: LogEntry) -> None:
        """Keeps a line, while there is room."""
        self.log_room -= max(len(entry.message) + 1, LEAST_LINE_BYTES)
        if self.log_room < 0:
            self.logs_truncated = True
            return
        if self.logs is None:
            self.logs = []
        self.logs.append(entry)

    def succeed(self, payload: bytes) -> None:
        """Takes a RESULT frame."""
        status, peak_kib, size = RESULT_HEAD.unpack_from(payload)
        body_at = _HEAD_BYTES + size
        try:
            check_status(status)
            headers = read_head(payload[_HEAD_BYTES:body_at])
        except BadHead as error:
            self.fail(Failure("bad-response", str(error), memory_kib=peak_kib))
            return
        self.ended = True
        duration = time.perf_counter() - self.begun
        self._hand_out(
            WholeAnswer(status, headers, payload[body_at:], lambda: self._outcome("success", duration, peak_kib))
        )

    def open(self, answer: StreamedAnswer) -> None:
        """Hands out an answer that has begun."""
        self.answer = answer
        self._hand_out(answer)

    def close(self, peak_kib: int) -> None:
        """Ends a streamed answer well."""
        self.ended = True
        if self.answer is not None:
            self.answer.end(self._outcome("success", time.perf_counter() - self.begun, peak_kib))

    def fail(self, failure: Failure) -> None:
        """Ends the call without an answer, or breaks its stream."""
        if self.ended:
            return
        self.ended = True
        status: ExecutionStatus = "timeout" if failure.reason == "timeout" else "error"
        duration = time.perf_counter() - self.begun if self.begun else 0.0
        outcome = self._outcome(status, duration, failure.memory_kib, failure)
        error = error_of(failure, outcome)
        if self.answer is not None:
            self.answer.end(outcome, error)
        else:
            self._hand_out(error)

    def _hand_out(self, end: Answer | InvocationFailed) -> None:
        if not self.answered:
            self.answered = True
            self.on_end(end)

    def _outcome(
        self, status: ExecutionStatus, duration: float, peak_kib: int, failure: Failure | None = None
    ) -> Outcome:
        return Outcome(
            status=status,
            duration_ms=duration * 1000,
            memory_mb=peak_kib / 1024,
            logs=self._all_logs(),
            logs_truncated=self.logs_truncated,
            error=None if failure is None else failure.detail or failure.message,
            error_name=None if failure is None else failure.name,
            reason=None if failure is None else failure.reason,
            cold=self.cold,
            signal=None if failure is None else failure.signal,
            limit=None if failure is None else failure.limit,
        )

    def _all_logs(self) -> Sequence[LogEntry]:
        if not self.logs_truncated:
            return self.logs or ()
        printed = self.log_limit + LEAST_LINE_BYTES - self.log_room + self.logs_dropped
        return (*(self.logs or ()), LogEntry(time.time(), "warn", log_cut(printed, self.log_limit)))


def log_entry(payload: bytes) -> LogEntry | int:
    """Returns the line of a LOG frame, or how many bytes were cut off."""
    level, at = LOG_HEAD.unpack_from(payload)
    text = payload[LOG_HEAD.size :].decode("utf-8", "replace")
    if level == CUT_OFF:
        return int(text[:_MOST_DIGITS]) if text.isascii() and text.isdigit() else 0
    name: Level = LEVELS[level] if level < len(LEVELS) else "info"
    return LogEntry(at if 0 <= at < _LATEST_TIME else time.time(), name, text)


def read_stream_head(payload: bytes) -> tuple[int, int | None, bytes]:
    """Returns status, length where known, and head of a HEAD frame."""
    status, length = STREAM_HEAD.unpack_from(payload)
    return status, length - 1 if length else None, payload[STREAM_HEAD.size :]
