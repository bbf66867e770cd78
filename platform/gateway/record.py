"""What became of each call: one line in the spool before the answer ends, and from there to the store.

A line is a JSON array, the fields of `Execution` in their order. Usage (light) and log (heavy) are both made from it,
under the execution's id, so that delivering a line twice changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson
from pydantic import TypeAdapter

from cloudserve.core.models.execution import ExecutionLog, ExecutionStatus, Level, LogLine, Usage
from cloudserve.sandbox.abc import ColdStart, Deployment, Outcome

_OPTIONS: Final = orjson.OPT_APPEND_NEWLINE


@dataclass(slots=True)
class Begun:
    """A call that was admitted; `started` in seconds since 1970, `key_id` None for an anonymous caller."""

    execution_id: str
    started: float
    deployment: Deployment
    key_id: str | None


class Execution(NamedTuple):
    """One call. `started` and `ended` in seconds since 1970, `duration` in milliseconds, `memory` in MB.

    It was validated when it was decoded, so the records are made of it without validating it again.
    """

    execution_id: str
    owner_id: str
    function_id: str
    version: int
    status: ExecutionStatus
    status_code: int
    started: float
    ended: float
    duration: float
    memory: float
    key_id: str | None
    cold: dict[str, Any] | None
    logs: Sequence[tuple[float, Level, str]]
    truncated: bool
    error: str | None
    reason: str | None

    def usage(self) -> Usage:
        """Returns the light record."""
        started = time_of(self.started)
        return Usage.model_construct(
            id=self.execution_id,
            created_at=started,
            owner_id=self.owner_id,
            function_id=self.function_id,
            version=self.version,
            status=self.status,
            status_code=self.status_code,
            start_time=started,
            end_time=time_of(self.ended),
            duration=self.duration,
            memory_used=self.memory,
            cold=self.cold is not None,
            key_id=self.key_id,
        )

    def log(self) -> ExecutionLog:
        """Returns the heavy record."""
        started = time_of(self.started)
        return ExecutionLog.model_construct(
            id=self.execution_id,
            created_at=started,
            owner_id=self.owner_id,
            function_id=self.function_id,
            execution_id=self.execution_id,
            version=self.version,
            logs=[_line(*line) for line in self.logs],
            truncated=self.truncated,
            status=self.status,
            start_time=started,
            end_time=time_of(self.ended),
            duration=self.duration,
            memory_used=self.memory,
            error=self.error,
            reason=self.reason,
            cold_start=self.cold,
        )


_EXECUTION: Final = TypeAdapter(Execution)


def encode(begun: Begun, status_code: int, ended: float, outcome: Outcome) -> bytes:
    """Returns the line of a call that ended at `ended`, in seconds since 1970."""
    deployment = begun.deployment
    cold = outcome.cold
    fields = (
        begun.execution_id,
        deployment.owner_id,
        deployment.function_id,
        deployment.number,
        outcome.status,
        status_code,
        begun.started,
        ended,
        outcome.duration_ms,
        outcome.memory_mb,
        begun.key_id,
        None if cold is None else _phases(cold, outcome.duration_ms),
        [(entry.time, entry.level, entry.message) for entry in outcome.logs],
        outcome.logs_truncated,
        outcome.error,
        outcome.reason,
    )
    try:
        return orjson.dumps(fields, option=_OPTIONS)
    except TypeError:  # a lone surrogate: text that a function made, and that no UTF-8 can hold
        return orjson.dumps(_mended(fields), option=_OPTIONS)


def execution_of(line: bytes) -> str:
    """Returns the id of the execution that a line is about."""
    return str(orjson.loads(line)[0])


def decode(line: bytes) -> Execution:
    """Reads a line. Raises ValueError for one that was torn."""
    return _EXECUTION.validate_json(line)


def time_of(seconds: float) -> datetime:
    """Returns a time cut to milliseconds, as every store keeps it."""
    milliseconds = int(seconds * 1000)
    return datetime.fromtimestamp(milliseconds // 1000, UTC).replace(microsecond=milliseconds % 1000 * 1000)


def _line(at: float, level: Level, message: str) -> LogLine:
    return LogLine.model_construct(level=level, message=message, timestamp=time_of(at))


def _phases(cold: ColdStart, handler_ms: float) -> dict[str, Any]:
    return {
        "spawnMs": cold.spawn_ms,
        "wallsMs": cold.walls_ms,
        "loadMs": cold.load_ms,
        "imports": [list(module) for module in cold.imports],
        "handlerMs": handler_ms,
    }


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, list | tuple):
        return [_mended(part) for part in value]
    if isinstance(value, dict):
        return {_mended(key): _mended(part) for key, part in value.items()}
    return value
