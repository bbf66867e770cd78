"""Builds: how a deploy goes on, and what its tools printed."""

from fastapi import APIRouter

from cloudserve.api.bodies import View
from cloudserve.api.context import Ctx
from cloudserve.api.deps import BuildId, FunctionId, Reader, owned_function
from cloudserve.api.views import BuildView
from cloudserve.core.errors import not_found

router = APIRouter(prefix="/api", tags=["builds"])


class BuildList(View):
    """A function's newest builds."""

    builds: list[BuildView]


class OneBuild(View):
    """A build."""

    build: BuildView


@router.get("/functions/{functionId}/builds", summary="List builds")
async def list_builds(function_id: FunctionId, principal: Reader, context: Ctx) -> BuildList:
    """Returns the last 20 builds of a function, newest first."""
    function = await owned_function(context, principal, function_id)
    builds = await context.store.builds.list(principal.owner.id, function.id)
    return BuildList(builds=[BuildView.of(build) for build in builds])


@router.get("/builds/{buildId}", summary="Show a build")
async def show_build(build_id: BuildId, principal: Reader, context: Ctx) -> OneBuild:
    """Returns a build; ask again until its status is `active` or `failed`."""
    build = await context.store.builds.get(principal.owner.id, build_id)
    if build is None or not principal.may_touch(build.function_id):
        raise not_found("The build")
    return OneBuild(build=BuildView.of(build))
