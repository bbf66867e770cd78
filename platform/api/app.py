"""The control plane's application: its routes, what every request passes, and its OpenAPI document."""

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic.alias_generators import to_camel
from starlette.middleware import Middleware

from cloudserve.api import problems
from cloudserve.api.context import Context
from cloudserve.api.deps import cookie_name, is_https
from cloudserve.api.middleware import Envelope, SameOrigin
from cloudserve.api.routes import (
    apikey,
    auth,
    functions,
    keys,
    platform,
)
from cloudserve.core.version import VERSION

ROUTERS = (
    auth.router,
    apikey.router,
    keys.router,
    functions.router,
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
            Middleware(Envelope, https=is_https(context)),
            Middleware(SameOrigin, url=context.settings.url, cookie=cookie_name(context)),
        ],
    )
    app.state.context = context
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    return app


def _operation_id(route: APIRoute) -> str:
    return to_camel(route.name)
