"""The functions' origin: a FastAPI application, with the invocation path as a plain ASGI application mounted in it."""

from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from cloudserve.core.errors import Problem
from cloudserve.core.ids import new_id
from cloudserve.gateway.asgi import Receive, Scope, Send
from cloudserve.gateway.errors import render
from cloudserve.gateway.headers import AnswerRules
from cloudserve.gateway.invoke import Invocations, Parts
from cloudserve.gateway.readiness import GatewayReadiness
from cloudserve.gateway.straight import Straight

PREFIX: Final = "/run/"
RETRY: Final = {"Retry-After": "2"}


class FunctionsApp(FastAPI):
    """Mounts the invocations before middleware and routing, whose cost would be the largest of a warm call.

    `http.HttpProtocol` hands warm calls to `straight`, before there is an ASGI message of them.
    """

    invocations: Invocations
    straight: Straight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request, or the lifespan."""
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            await self.invocations(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def functions_app(parts: Parts, rules: AnswerRules, readiness: GatewayReadiness, *, instance: str) -> FunctionsApp:
    """Returns the application."""
    app = FunctionsApp(title="CloudServe functions", docs_url=None, redoc_url=None, openapi_url=None)
    app.invocations = Invocations(parts, rules)
    app.straight = Straight(parts, rules, app.invocations)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Tells that this process answers, and which instance it is."""
        return {"status": "ok", "instance": instance}

    @app.get("/readyz")
    async def readyz() -> Response:
        """Tells whether calls are taken here, and of each need how it stands."""
        found = readiness.check()
        return JSONResponse(found.document(), 200 if found.ready else 503, headers=None if found.ready else RETRY)

    @app.exception_handler(HTTPException)
    async def elsewhere(_request: Request, error: HTTPException) -> Response:
        """Answers what is no call of a function as a problem, too."""
        problem = Problem(
            error.status_code,
            f"{error.detail}. Functions are at {PREFIX}{{owner}}/{{function}}.",
            reason="not-found",
            component="gateway",
        )
        headers, body = render(problem, new_id())
        return Response(body, error.status_code, {name.decode(): value.decode() for name, value in headers})

    return app
