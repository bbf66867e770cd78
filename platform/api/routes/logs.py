"""`/api/logs`: what functions printed and how calls failed, newest first."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from cloudserve.api.bodies import Deleted, View
from cloudserve.api.context import Ctx
from cloudserve.api.deps import Cursor, Deployer, FunctionId, LogId, PageSize, Reader, owned_function
from cloudserve.core.errors import not_found
from cloudserve.core.models.base import Timestamp
from cloudserve.core.models.execution import ExecutionLog, ExecutionStatus, LogLine

router = APIRouter(prefix="/api/logs/{functionId}", tags=["logs"])


class LogView(View):
    """The log of a call. `duration` in milliseconds, `memoryUsed` in MB; `coldStart` has each phase's milliseconds."""

    id: str = Field(alias="_id")
    function_id: str
    execution_id: str
    version: int
    logs: list[LogLine]
    truncated: bool
    status: ExecutionStatus
    start_time: Timestamp
    end_time: Timestamp
    duration: float
    memory_used: float
    error: str | None
    reason: str | None
    cold_start: dict[str, Any] | None
    created_at: Timestamp

    @classmethod
    def of(cls, log: ExecutionLog) -> "LogView":
        """Returns what is shown of a log."""
        return cls.model_validate(log.model_dump(exclude={"owner_id"}))


class LogList(View):
    """A stretch of logs; `nextCursor` continues it, null when it is the last."""

    logs: list[LogView]
    next_cursor: str | None


class OneLog(View):
    """The log of a call."""

    log: LogView


@router.get("", summary="List logs")
async def list_logs(
    *,
    function_id: FunctionId,
    principal: Reader,
    context: Ctx,
    limit: PageSize = 50,
    cursor: Cursor = None,
    status: Annotated[ExecutionStatus | None, Query(description="Only calls that ended so.")] = None,
    after: Annotated[
        str | None, Query(max_length=64, description="Only logs with a greater id, to follow new ones.")
    ] = None,
) -> LogList:
    """Returns the logs of a function, newest first."""
    function = await owned_function(context, principal, function_id)
    page = await context.store.logs.list(
        principal.owner.id, function.id, limit=limit, cursor=cursor, status=status, after=after
    )
    return LogList(logs=[LogView.of(log) for log in page.rows], next_cursor=page.next_cursor)


@router.delete("", summary="Delete all logs of a function")
async def delete_logs(function_id: FunctionId, principal: Deployer, context: Ctx) -> Deleted:
    """Deletes the logs of a function."""
    function = await owned_function(context, principal, function_id)
    return Deleted(deleted=await context.store.logs.delete(principal.owner.id, function.id))


@router.get("/{logId}", summary="Show a log")
async def show_log(function_id: FunctionId, log_id: LogId, principal: Reader, context: Ctx) -> OneLog:
    """Returns the log of one call."""
    function = await owned_function(context, principal, function_id)
    log = await context.store.logs.get(principal.owner.id, function.id, log_id)
    if log is None:
        raise not_found("The log")
    return OneLog(log=LogView.of(log))


@router.delete("/{logId}", summary="Delete a log")
async def delete_log(function_id: FunctionId, log_id: LogId, principal: Deployer, context: Ctx) -> Deleted:
    """Deletes the log of one call."""
    function = await owned_function(context, principal, function_id)
    if not await context.store.logs.delete(principal.owner.id, function.id, log_id):
        raise not_found("The log")
    return Deleted(deleted=1)
