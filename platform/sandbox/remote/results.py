"""What became of a call, to and from its form on the wire: results, failures, outcomes, lines of a log.

A host is believed no more than a worker is: whatever it says is checked before anybody uses it.
"""

import struct
from collections.abc import Sequence
from math import inf
from typing import Any, Final, get_args

import orjson

from cloudserve.core.errors import Component
from cloudserve.core.models.execution import ExecutionStatus
from cloudserve.sandbox.abc import ColdStart, Headers, InvocationFailed, LogEntry, Outcome, Reason
from cloudserve.sandbox.protocol import HEADER, LEVELS, U32, ProtocolError
from cloudserve.sandbox.remote.wire import FAILED, HEAD, LOG, RESULT, document, frame

_RESULT_HEAD: Final = struct.Struct(">HIBddI")
_OUTCOME: Final = struct.Struct(">BddI")
_STREAM_HEAD: Final = struct.Struct(">HQI")
_LOG_FRAME_BYTES: Final = 64 * 1024
_STATUSES: Final[tuple[ExecutionStatus, ...]] = get_args(ExecutionStatus)
_STATUS_NUMBERS: Final = {status: number for number, status in enumerate(_STATUSES)}
_REASONS: Final = frozenset(get_args(Reason))
_COMPONENTS: Final = frozenset(get_args(Component))
_LEVELS: Final = frozenset(LEVELS)


def write_result(number: int, status: int, headers: Headers, outcome: Outcome, body: bytes) -> bytes:
    """Returns the RESULT frame of a whole answer."""
    head = _joined(headers)
    rest = _rest(outcome)
    return b"".join(
        (
            HEADER.pack(_RESULT_HEAD.size + len(rest) + len(head) + len(body), RESULT, number),
            _RESULT_HEAD.pack(
                status,
                len(head),
                _STATUS_NUMBERS[outcome.status],
                outcome.duration_ms,
                outcome.memory_mb,
                len(rest),
            ),
            rest,
            head,
            body,
        )
    )


class Result:
    """What a RESULT says: `status`, `head`, `body`, and its outcome, which is made when somebody asks for it."""

    __slots__ = ("_duration_ms", "_ended", "_memory_mb", "_rest", "body", "head", "logs", "status")

    def __init__(self, payload: bytes) -> None:
        self.status, size, self._ended, self._duration_ms, self._memory_mb, rest = _RESULT_HEAD.unpack_from(payload)
        at = _RESULT_HEAD.size + rest
        self._rest = payload[_RESULT_HEAD.size : at] if rest else b""
        self.head = payload[at : at + size]
        self.body = payload[at + size :]
        self.logs: Sequence[LogEntry] = ()

    def outcome(self) -> Outcome:
        """Returns the outcome. Raises `ProtocolError`."""
        return _outcome(self._ended, self._duration_ms, self._memory_mb, self._rest, self.logs)


def write_stream_head(
    number: int, status: int, headers: Headers, cold: ColdStart | None, length: int | None = None
) -> bytes:
    """Returns the HEAD frame of an answer that comes in parts; `headers` are without the length."""
    spent = b"" if cold is None else orjson.dumps(_cold_document(cold))
    fixed = _STREAM_HEAD.pack(status, 0 if length is None else length + 1, len(spent))
    return frame(HEAD, number, fixed, spent, _joined(headers))


def read_stream_head(payload: bytes) -> tuple[int, int | None, ColdStart | None, bytes]:
    """Returns status, length where known, cold start and head. Raises `ProtocolError`."""
    status, length, size = _STREAM_HEAD.unpack_from(payload)
    at = _STREAM_HEAD.size + size
    cold = _cold(document(payload[_STREAM_HEAD.size : at])) if size else None
    return status, length - 1 if length else None, cold, payload[at:]


def write_failed(number: int, failed: InvocationFailed) -> bytes:
    """Returns the FAILED frame of a call without an answer, or whose stream broke."""
    what = orjson.dumps(
        {
            "status": failed.status,
            "message": failed.message,
            "component": failed.component,
            "reason": failed.reason,
            "retryAfter": failed.retry_after,
        }
    )
    return frame(FAILED, number, U32.pack(len(what)), what, write_outcome(failed.outcome))


def read_failed(payload: bytes, logs: Sequence[LogEntry]) -> InvocationFailed:
    """Returns what a FAILED frame says. Raises `ProtocolError`."""
    (size,) = U32.unpack_from(payload)
    found = document(payload[U32.size : U32.size + size])
    match found:
        case {
            "status": int(status),
            "message": str(message),
            "component": component,
            "reason": reason,
            "retryAfter": int() | None as retry_after,
        } if 400 <= status <= 599 and component in _COMPONENTS and reason in _REASONS:
            outcome = read_outcome(payload[U32.size + size :], logs)
            return InvocationFailed(
                status, message, component=component, reason=reason, outcome=outcome, retry_after=retry_after
            )
    raise ProtocolError("A failure that can't be read.")


# -- outcomes ------------------------------------------------------------------------------------------------------


def write_outcome(outcome: Outcome) -> bytes:
    """Returns an outcome but for its lines, which go ahead of it (`write_logs`)."""
    rest = _rest(outcome)
    number = _STATUS_NUMBERS[outcome.status]
    return _OUTCOME.pack(number, outcome.duration_ms, outcome.memory_mb, len(rest)) + rest


def read_outcome(payload: bytes, logs: Sequence[LogEntry]) -> Outcome:
    """Returns what `write_outcome` wrote, with the lines that went ahead. Raises `ProtocolError`."""
    ended, duration_ms, memory_mb, size = _OUTCOME.unpack_from(payload)
    return _outcome(ended, duration_ms, memory_mb, payload[_OUTCOME.size : _OUTCOME.size + size], logs)


def write_logs(number: int, logs: Sequence[LogEntry]) -> list[bytes]:
    """Returns the LOG frames of a call's lines, each of a size that a peer takes."""
    frames: list[bytes] = []
    lines: list[tuple[float, str, str]] = []
    size = 0
    for entry in logs:
        lines.append((entry.time, entry.level, entry.message))
        size += len(entry.message)
        if size > _LOG_FRAME_BYTES:
            frames.append(frame(LOG, number, orjson.dumps(lines)))
            lines, size = [], 0
    if lines:
        frames.append(frame(LOG, number, orjson.dumps(lines)))
    return frames


def read_logs(payload: bytes) -> list[LogEntry]:
    """Returns the lines of a LOG frame. Raises `ProtocolError`."""
    entries = []
    lines = orjson.loads(payload)
    for line in lines if isinstance(lines, list) else ():
        match line:
            case [float() | int() as time, str(level), str(message)] if level in _LEVELS:
                entries.append(LogEntry(time, level, message))
            case _:
                raise ProtocolError("A line of a log that can't be read.")
    return entries


def _rest(outcome: Outcome) -> bytes:
    """Returns what few outcomes have; most are a success of a warm worker, without any of it."""
    if (
        outcome.error is None
        and outcome.cold is None
        and not outcome.logs_truncated
        and outcome.error_name is None
        and outcome.reason is None
        and outcome.signal is None
        and outcome.limit is None
    ):
        return b""
    return orjson.dumps(
        {
            "truncated": outcome.logs_truncated,
            "error": outcome.error,
            "errorName": outcome.error_name,
            "reason": outcome.reason,
            "cold": None if outcome.cold is None else _cold_document(outcome.cold),
            "signal": outcome.signal,
            "limit": outcome.limit,
        }
    )


def _outcome(ended: int, duration_ms: float, memory_mb: float, rest: bytes, logs: Sequence[LogEntry]) -> Outcome:
    if ended >= len(_STATUSES) or not (0 <= duration_ms < inf and 0 <= memory_mb < inf):
        raise ProtocolError("An outcome with figures that can't be.")
    if not rest:
        return Outcome(_STATUSES[ended], duration_ms, memory_mb, logs)
    match document(rest):
        case {
            "truncated": bool(truncated),
            "error": str() | None as error,
            "errorName": str() | None as error_name,
            "reason": reason,
            "cold": dict() | None as cold,
            "signal": int() | None as signal,
            "limit": str() | None as limit,
        } if reason is None or reason in _REASONS:
            return Outcome(
                _STATUSES[ended],
                duration_ms,
                memory_mb,
                logs,
                truncated,
                error,
                error_name,
                reason,
                None if cold is None else _cold(cold),
                signal,
                limit,
            )
    raise ProtocolError("An outcome that can't be read.")


def _cold_document(cold: ColdStart) -> dict[str, Any]:
    return {
        "spawnMs": cold.spawn_ms,
        "wallsMs": cold.walls_ms,
        "loadMs": cold.load_ms,
        "imports": list(cold.imports),
        "cached": cold.cached,
    }


def _cold(found: dict[str, Any]) -> ColdStart:
    match found:
        case {
            "spawnMs": float() | int() as spawn,
            "wallsMs": float() | int() as walls,
            "loadMs": float() | int() as load,
            "imports": list(imports),
            "cached": bool(cached),
        }:
            slowest = []
            for one in imports:
                match one:
                    case [str(name), float() | int() as spent]:
                        slowest.append((name, float(spent)))
                    case _:
                        raise ProtocolError("A cold start that can't be read.")
            return ColdStart(spawn, walls, load, slowest, cached)
    raise ProtocolError("A cold start that can't be read.")


def _joined(headers: Headers) -> bytes:
    return b"\0".join([field for header in headers for field in header])
