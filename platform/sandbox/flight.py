"""One call's life in the sandbox: waiting, in a worker, answered or failed."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Final

from cloudserve.core.errors import Component
from cloudserve.core.models.execution import ExecutionStatus, Level
from cloudserve.sandbox.abc import Answer, Call, ColdStart, InvocationFailed, LogEntry, Outcome, Reason
from cloudserve.sandbox.answers import StreamedAnswer, WholeAnswer
from cloudserve.sandbox.heads import BadHead, check_status, read_head
from cloudserve.sandbox.protocol import CUT_OFF, LEVELS, LOG_HEAD, RESULT_HEAD, STREAM_HEAD

MAX_LOG_BYTES: Final = 320 * 1024
"""What is kept of a call's lines; above the worker's own bound of 256 KiB, against a worker that ignores it."""

LEAST_LINE_BYTES: Final = 64
"""What a line counts for at least: its level and time take that much in a record, however short its text is."""

_LATEST_TIME: Final = 2.0**32
"""Seconds since 1970, in the year 2106. A worker may claim any moment; no record could hold every one."""

_STATUS: Final[dict[Reason, int]] = {
    "exception": 500,
    "load-failed": 500,
    "no-handler": 500,
    "bad-response": 502,
    "timeout": 504,
    "out-of-memory": 502,
    "crash": 502,
    "response-too-large": 502,
    "overloaded": 503,
    "shutdown": 503,
}
_COMPONENT: Final[dict[Reason, Component]] = {"overloaded": "queue", "shutdown": "sandbox"}
_REPORTED: Final[dict[str, Reason]] = {
    "exception": "exception",
    "load-failed": "load-failed",
    "no-handler": "no-handler",
    "bad-response": "bad-response",
    "out-of-memory": "out-of-memory",
}
"""What a worker may say of its own calls."""

_HEAD_BYTES: Final = RESULT_HEAD.size


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call has no answer. `message` is a sentence, `detail` the stack where there is one."""

    reason: Reason
    message: str
    name: str | None = None
    detail: str | None = None
    memory_kib: int = 0
    signal: int | None = None
    limit: str | None = None
    status: int | None = None
    retry_after: int | None = field(default=None)


class Flight:
    """A call and everything that is known of it. `future` gets the `Answer` or the `InvocationFailed`."""

    __slots__ = (
        "answer",
        "begun",
        "call",
        "call_id",
        "cold",
        "deadline",
        "ended",
        "future",
        "log_room",
        "logs",
        "logs_truncated",
        "queued",
        "received",
        "upload",
        "window",
    )

    def __init__(self, call: Call, future: "asyncio.Future[Answer]") -> None:
        self.call = call
        self.future = future
        self.call_id = 0
        self.queued = 0.0
        self.begun = 0.0
        self.deadline = 0.0
        self.cold: ColdStart | None = None
        self.answer: StreamedAnswer | None = None
        self.ended = False
        self.received = 0
        self.logs: list[LogEntry] | None = None
        self.log_room = MAX_LOG_BYTES
        self.logs_truncated = False
        self.upload: asyncio.Task[None] | None = None
        self.window: asyncio.Event | None = None

    def log(self, payload: bytes) -> None:
        """Takes a LOG frame."""
        entry = log_entry(payload)
        if entry is None:
            self.logs_truncated = True
        else:
            self.add_log(entry)

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
        answer = WholeAnswer(status, headers, payload[body_at:], lambda: self._outcome("success", duration, peak_kib))
        if not self.future.done():
            self.future.set_result(answer)

    def open(self, payload: bytes, answer: StreamedAnswer) -> None:
        """Hands out an answer that has begun."""
        self.answer = answer
        if not self.future.done():
            self.future.set_result(answer)

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
        elif not self.future.done():
            self.future.set_exception(error)

    def _outcome(
        self, status: ExecutionStatus, duration: float, peak_kib: int, failure: Failure | None = None
    ) -> Outcome:
        return Outcome(
            status=status,
            duration_ms=duration * 1000,
            memory_mb=peak_kib / 1024,
            logs=self.logs or (),
            logs_truncated=self.logs_truncated,
            error=None if failure is None else failure.detail or failure.message,
            error_name=None if failure is None else failure.name,
            reason=None if failure is None else failure.reason,
            cold=self.cold,
            signal=None if failure is None else failure.signal,
            limit=None if failure is None else failure.limit,
        )


def log_entry(payload: bytes) -> LogEntry | None:
    """Returns the line of a LOG frame; None when it says that the rest was cut off."""
    level, at = LOG_HEAD.unpack_from(payload)
    if level == CUT_OFF:
        return None
    name: Level = LEVELS[level] if level < len(LEVELS) else "info"
    text = payload[LOG_HEAD.size :].decode("utf-8", "replace")
    return LogEntry(at if 0 <= at < _LATEST_TIME else time.time(), name, text)


def error_of(failure: Failure, outcome: Outcome) -> InvocationFailed:
    """Returns the error that a failure is to the caller."""
    return InvocationFailed(
        failure.status or _STATUS[failure.reason],
        failure.message,
        component=_COMPONENT.get(failure.reason, "function"),
        reason=failure.reason,
        outcome=outcome,
        retry_after=failure.retry_after,
    )


def failure_of(fault: dict[str, Any]) -> Failure:
    """Returns the failure that a worker's fault stands for; nothing in it is taken on trust but its words."""
    reason = _REPORTED.get(str(fault.get("reason")), "exception")
    name = str(fault.get("name") or "")
    message = str(fault.get("message") or "")
    memory = fault.get("memoryKib")
    return Failure(
        reason,
        message if reason in ("no-handler", "bad-response") else f"{name}: {message}" if message else name,
        name=name,
        detail=str(fault.get("stack") or "") or None,
        memory_kib=memory if isinstance(memory, int) else 0,
    )


def read_stream_head(payload: bytes) -> tuple[int, int | None, bytes]:
    """Returns status, length where known, and head of a HEAD frame."""
    status, length = STREAM_HEAD.unpack_from(payload)
    return status, length - 1 if length else None, payload[STREAM_HEAD.size :]
