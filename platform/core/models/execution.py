"""What is known of a call afterwards: the light usage record and the heavy log, both under the execution's id."""

from typing import Any, Literal

from pydantic import Field

from cloudserve.core.models.base import Model, Record, Timestamp

ExecutionStatus = Literal["success", "error", "timeout"]
Level = Literal["debug", "info", "warn", "error"]


class LogLine(Model):
    """A line that a function printed or logged."""

    level: Level
    message: str
    timestamp: Timestamp


class Usage(Record):
    """One call, light: what is counted. `duration` in milliseconds, `memory_used` in MB."""

    owner_id: str
    function_id: str
    version: int
    status: ExecutionStatus
    status_code: int
    start_time: Timestamp
    end_time: Timestamp
    duration: float
    memory_used: float
    cold: bool = False
    key_id: str | None = None


class ExecutionLog(Record):
    """One call, heavy: what it printed and how it failed. `cold_start` has the milliseconds of each phase."""

    owner_id: str
    function_id: str
    execution_id: str
    version: int
    logs: list[LogLine] = Field(default_factory=list)
    truncated: bool = False
    status: ExecutionStatus
    start_time: Timestamp
    end_time: Timestamp
    duration: float
    memory_used: float
    error: str | None = None
    reason: str | None = None
    cold_start: dict[str, Any] | None = None
