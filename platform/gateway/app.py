"""The functions' origin: a FastAPI application, with the invocation path as a plain ASGI application mounted in it."""

from typing import Final

from fastapi import FastAPI

from cloudserve.gateway.asgi import Receive, Scope, Send
from cloudserve.gateway.invoke import Invocations

PREFIX: Final = "/run"


class FunctionsApp(FastAPI):
    """Sends `/run/…` straight to the invocations, past middleware and routing, whose cost would be a call's largest."""

    invocations: Invocations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request, or the lifespan."""
        if scope["type"] == "http" and scope["path"].startswith("/run/"):
            await self.invocations(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def functions_app(invocations: Invocations, *, instance: str) -> FunctionsApp:
    """Returns the application."""
    app = FunctionsApp(title="CloudServe functions", docs_url=None, redoc_url=None, openapi_url=None)
    app.invocations = invocations
    app.mount(PREFIX, invocations)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Tells that this process answers, and which instance it is."""
        return {"status": "ok", "instance": instance}

    return app
