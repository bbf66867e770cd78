"""`/api/functions/{id}/versions` and `…/rollback`: what was built, and going back to it."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from cloudserve.api.bodies import Body, View
from cloudserve.api.context import Ctx
from cloudserve.api.deps import Deployer, FunctionId, Reader, owned_function
from cloudserve.api.functions import view_of
from cloudserve.api.views import FunctionView, VersionView
from cloudserve.core.errors import not_found

router = APIRouter(prefix="/api/functions/{functionId}", tags=["versions"])

_MAX_NUMBER = 2**31 - 1
Number = Annotated[int, Path(alias="number", ge=1, le=_MAX_NUMBER, description="The version's number.")]


class VersionList(View):
    """A function's versions, newest first."""

    versions: list[VersionView]


class OneVersion(View):
    """A version."""

    version: VersionView


class Rollback(Body):
    """The number of the version to go back to."""

    version: int = Field(ge=1, le=_MAX_NUMBER, examples=[1])


class RolledBack(View):
    """The function as it is served now."""

    function: FunctionView


@router.get("/versions", summary="List versions")
async def list_versions(function_id: FunctionId, principal: Reader, context: Ctx) -> VersionList:
    """Returns all versions of a function that were built."""
    function = await owned_function(context, principal, function_id)
    versions = await context.store.versions.list(principal.owner.id, function.id)
    return VersionList(versions=[VersionView.of_version(version, function.live_version) for version in versions])


@router.get("/versions/{number}", summary="Show a version")
async def show_version(function_id: FunctionId, number: Number, principal: Reader, context: Ctx) -> OneVersion:
    """Returns one version of a function."""
    function = await owned_function(context, principal, function_id)
    version = await context.store.versions.get(principal.owner.id, function.id, number)
    if version is None:
        raise not_found("The version")
    return OneVersion(version=VersionView.of_version(version, function.live_version))


@router.post("/rollback", summary="Make an earlier version live")
async def roll_back(function_id: FunctionId, body: Rollback, principal: Deployer, context: Ctx) -> RolledBack:
    """Serves a version again that was built before. Builds that were asked for earlier don't undo it."""
    function = await owned_function(context, principal, function_id)
    function = await context.deployments.rollback(principal.owner, function, body.version)
    return RolledBack(function=await view_of(context, principal.owner, function))
