"""The yardstick: a plain ASGI application that answers what the functions answer, in uvicorn as it comes."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
import uvloop

HEADERS = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"5")]


async def hello(_scope: Any, _receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    """Answers `hello`."""
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b"hello"})


async def serve(application: Any, **options: Any) -> None:
    """Serves an application on a free port of loopback, which it prints, until the process is ended."""
    config = uvicorn.Config(
        application, port=0, lifespan="off", access_log=False, proxy_headers=False, log_level="warning", **options
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    with contextlib.suppress(asyncio.CancelledError):
        await serving


if __name__ == "__main__":
    uvloop.run(serve(hello, http="httptools"))
