"""The control plane's application: its routes, what every request passes, and its OpenAPI document."""

from functools import cache

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic.alias_generators import to_camel
from starlette.middleware import Middleware

from cloudserve.api import problems
from cloudserve.api.bounds import Bounds
from cloudserve.api.context import Context
from cloudserve.api.deps import cookie_name, is_https
from cloudserve.api.middleware import Envelope, SameOrigin
from cloudserve.api.openapi import document
from cloudserve.api.routes import (
    admin,
    apikey,
    auth,
    builds,
    functions,
    keys,
    logs,
    passwords,
    platform,
    secrets,
    sessions,
    usages,
    versions,
)
from cloudserve.api.uploads import UPLOAD_MODELS
from cloudserve.core.version import VERSION

ROUTERS = (
    auth.router,
    passwords.router,
    sessions.router,
    apikey.router,
    keys.router,
    functions.router,
    versions.router,
    builds.router,
    secrets.router,
    logs.router,
    usages.router,
    admin.router,
    platform.router,
)


def build_app(context: Context) -> FastAPI:
    """Returns the application over the parts in `context`."""
    app = FastAPI(
        title="CloudServe",
        summary="The control plane of a function platform.",
        version=VERSION,
        openapi_url="/api/openapi.json",
        docs_url=None,  # the framework's pages load their scripts from a foreign host
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        middleware=[
            Middleware(Envelope, https=is_https(context), on_answer=context.meter.count),
            Middleware(Bounds),
            Middleware(SameOrigin, url=context.settings.url, cookie=cookie_name(context)),
        ],
    )
    app.state.context = context
    problems.install(app, ROUTERS)
    for router in ROUTERS:
        app.include_router(router)
    app.openapi = cache(lambda: document(app, ROUTERS, UPLOAD_MODELS))  # type: ignore[method-assign]
    return app


def _operation_id(route: APIRoute) -> str:
    return to_camel(route.name)
