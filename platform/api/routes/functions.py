"""`/api/functions`: deploying, looking at, changing and deleting functions."""

from fastapi import APIRouter, Request
from pydantic import Field

from cloudserve.api.bodies import Deleted, View
from cloudserve.api.build.request import SingleFile
from cloudserve.api.context import Context, Ctx
from cloudserve.api.deps import Deployer, FunctionId, Principal, Reader, owned_function
from cloudserve.api.functions import view_of
from cloudserve.api.openapi import problems, upload_body
from cloudserve.api.uploads import (
    Deploy,
    DeployOptions,
    Options,
    Redeploy,
    changes_of,
    file_of,
    read_deploy,
    read_redeploy,
)
from cloudserve.api.views import BuildView, FunctionDetail, FunctionView
from cloudserve.core.errors import FieldError, Problem, invalid
from cloudserve.core.models.function import Function

router = APIRouter(prefix="/api/functions", tags=["functions"])

_VERSION_FIELDS = frozenset(Redeploy.model_fields) - {"auth", "cors"}


class FunctionList(View):
    """All functions of the caller, newest first."""

    functions: list[FunctionView]


class OneFunction(View):
    """A function and its sources."""

    function: FunctionDetail


class Deployed(View):
    """A function and the build that was asked for."""

    function: FunctionView
    build: BuildView


class Changed(View):
    """A function, and the build of its new version if the change needs one."""

    function: FunctionView
    build: BuildView | None


class Change(Redeploy):
    """What to change. `isActive` false pauses the function; whatever a version holds makes a new one."""

    is_active: bool | None = None
    name: str | None = Field(default=None, max_length=255, description="The name it has: it can't be changed.")


@router.post(
    "/deploy",
    status_code=202,
    summary="Deploy a new function",
    responses=problems(413),
    openapi_extra=upload_body(Deploy, DeployOptions),
)
async def deploy_function(request: Request, principal: Deployer, context: Ctx) -> Deployed:
    """Takes one file as JSON, or an archive as multipart. The answer comes at once; the build tells how it goes on."""
    if principal.key is not None and principal.key.function_ids is not None:
        raise Problem(403, "This key is limited to some functions, so it can't make one.", reason="key-limited")
    asked = await read_deploy(request, context.settings)
    function, build = await context.deployments.deploy(principal.owner, asked, created_by=principal.id)
    return Deployed(function=await _fresh_view(context, principal, function.id), build=BuildView.of(build))


@router.get("", summary="List functions")
async def list_functions(principal: Reader, context: Ctx) -> FunctionList:
    """Returns all functions of the caller, newest first."""
    functions = [
        function
        for function in await context.store.functions.list(principal.owner.id)
        if principal.may_touch(function.id)
    ]
    return FunctionList(functions=[await view_of(context, principal.owner, function) for function in functions])


@router.get("/{functionId}", summary="Show a function")
async def show_function(function_id: FunctionId, principal: Reader, context: Ctx) -> OneFunction:
    """Returns a function with its newest sources."""
    function = await owned_function(context, principal, function_id)
    view = await view_of(context, principal.owner, function)
    sources = await context.deployments.source_of(function)
    values = view.model_dump()
    if sources is not None:
        values |= {"filename": sources.filename, "code": sources.code, "files": list(sources.files)}
    return OneFunction(function=FunctionDetail.model_validate(values))


@router.put("/{functionId}", summary="Change a function")
async def change_function(function_id: FunctionId, body: Change, principal: Deployer, context: Ctx) -> Changed:
    """Changes what the body names. Pausing and access rules hold at once; all else is built as a new version."""
    function = await owned_function(context, principal, function_id)
    faults = body.faults()
    if body.name is not None and body.name != function.name:
        faults.append(
            FieldError("name", "A function's name can't be changed.", remedy="Deploy it under the new name instead.")
        )
    if faults:
        raise invalid(*faults)
    build = None
    if body.model_fields_set & _VERSION_FIELDS:
        changes = changes_of(body, await _file_of(context, function, body))
        _, build = await context.deployments.redeploy(principal.owner, function, changes, created_by=principal.id)
    await _set_access(context, function, body)
    if body.is_active is not None:
        await context.store.functions.set_active(principal.owner.id, function.id, body.is_active)
    return Changed(
        function=await _fresh_view(context, principal, function_id), build=BuildView.of(build) if build else None
    )


@router.delete("/{functionId}", summary="Delete a function")
async def delete_function(function_id: FunctionId, principal: Deployer, context: Ctx) -> Deleted:
    """Deletes a function with its versions, secrets, logs and usage."""
    function = await owned_function(context, principal, function_id)
    await context.deployments.delete(principal.owner, function)
    return Deleted(deleted=1)


@router.post(
    "/{functionId}/redeploy",
    status_code=202,
    summary="Deploy a new version",
    responses=problems(413),
    openapi_extra=upload_body(Redeploy, Options, required=False),
)
async def redeploy_function(function_id: FunctionId, request: Request, principal: Deployer, context: Ctx) -> Deployed:
    """Builds a new version from new sources, or, with an empty body, from the newest ones."""
    function = await owned_function(context, principal, function_id)
    options, archive = await read_redeploy(request, context.settings)
    upload = await _file_of(context, function, options) if isinstance(options, Redeploy) else archive
    changes = changes_of(options, upload)
    _, build = await context.deployments.redeploy(principal.owner, function, changes, created_by=principal.id)
    await _set_access(context, function, options)
    return Deployed(function=await _fresh_view(context, principal, function_id), build=BuildView.of(build))


async def _file_of(context: Context, function: Function, body: Redeploy) -> SingleFile | None:
    unnamed = body.code is not None and body.filename is None
    return file_of(body, await context.deployments.source_of(function) if unnamed else None)


async def _set_access(context: Context, function: Function, options: Options) -> None:
    if options.model_fields_set & {"auth", "cors"}:
        await context.store.functions.set_access(
            function.owner_id,
            function.id,
            auth=options.auth or function.auth,
            cors=options.cors if "cors" in options.model_fields_set else function.cors,
        )


async def _fresh_view(context: Context, principal: Principal, function_id: str) -> FunctionView:
    return await view_of(context, principal.owner, await owned_function(context, principal, function_id))
