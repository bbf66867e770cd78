"""`/api/usages`: the light record of each call, newest first."""

from fastapi import APIRouter
from pydantic import Field

from cloudserve.api.bodies import Deleted, View
from cloudserve.api.context import Ctx
from cloudserve.api.deps import Cursor, Deployer, FunctionId, PageSize, Reader, UsageId, owned_function
from cloudserve.core.errors import not_found
from cloudserve.core.models.base import Timestamp
from cloudserve.core.models.execution import ExecutionStatus, Usage

router = APIRouter(prefix="/api/usages", tags=["usage"])

_LATEST = 20


class _UsageFields(View):
    id: str = Field(alias="_id")
    version: int
    status: ExecutionStatus
    status_code: int
    start_time: Timestamp
    end_time: Timestamp
    duration: float
    memory_used: float
    cold: bool
    key_id: str | None
    created_at: Timestamp


class UsageView(_UsageFields):
    """A call, counted. `duration` in milliseconds, `memoryUsed` in MB."""

    function_id: str

    @classmethod
    def of(cls, usage: Usage) -> "UsageView":
        """Returns what is shown of a call."""
        return cls.model_validate(usage.model_dump(exclude={"owner_id"}))


class FunctionName(View):
    """A function by its name."""

    id: str = Field(alias="_id")
    name: str


class LatestUsage(_UsageFields):
    """A call, counted, with its function by name."""

    function_id: FunctionName


class LatestUsages(View):
    """The last calls of all functions."""

    usages: list[LatestUsage]


class UsageList(View):
    """A stretch of calls; `nextCursor` continues it, null when it is the last."""

    usages: list[UsageView]
    next_cursor: str | None


class OneUsage(View):
    """A call, counted."""

    usage: UsageView


@router.get("", summary="List the last calls of all functions")
async def list_latest_usages(principal: Reader, context: Ctx) -> LatestUsages:
    """Returns the last 20 calls of the caller's functions."""
    usages = await context.store.usages.latest(principal.owner.id, limit=_LATEST)
    names = {function.id: function.name for function in await context.store.functions.list(principal.owner.id)}
    return LatestUsages(
        usages=[
            LatestUsage.model_validate(
                usage.model_dump(exclude={"owner_id"})
                | {"function_id": {"id": usage.function_id, "name": names[usage.function_id]}}
            )
            for usage in usages
            if usage.function_id in names and principal.may_touch(usage.function_id)
        ]
    )


@router.get("/{functionId}", summary="List the calls of a function")
async def list_usages(
    function_id: FunctionId, principal: Reader, context: Ctx, limit: PageSize = 50, cursor: Cursor = None
) -> UsageList:
    """Returns the calls of a function, newest first."""
    function = await owned_function(context, principal, function_id)
    page = await context.store.usages.list(principal.owner.id, function.id, limit=limit, cursor=cursor)
    return UsageList(usages=[UsageView.of(usage) for usage in page.rows], next_cursor=page.next_cursor)


@router.delete("/{functionId}", summary="Delete the usage records of a function")
async def delete_usages(function_id: FunctionId, principal: Deployer, context: Ctx) -> Deleted:
    """Deletes the records of a function's calls; its running totals stay."""
    function = await owned_function(context, principal, function_id)
    return Deleted(deleted=await context.store.usages.delete(principal.owner.id, function.id))


@router.get("/{functionId}/{usageId}", summary="Show a call")
async def show_usage(function_id: FunctionId, usage_id: UsageId, principal: Reader, context: Ctx) -> OneUsage:
    """Returns the record of one call."""
    function = await owned_function(context, principal, function_id)
    usage = await context.store.usages.get(principal.owner.id, function.id, usage_id)
    if usage is None:
        raise not_found("The usage record")
    return OneUsage(usage=UsageView.of(usage))


@router.delete("/{functionId}/{usageId}", summary="Delete the record of a call")
async def delete_usage(function_id: FunctionId, usage_id: UsageId, principal: Deployer, context: Ctx) -> Deleted:
    """Deletes the record of one call; the running totals stay."""
    function = await owned_function(context, principal, function_id)
    if not await context.store.usages.delete(principal.owner.id, function.id, usage_id):
        raise not_found("The usage record")
    return Deleted(deleted=1)
