"""A platform that answers as a test tells it to, on a real socket; for what a real one can't be made to say."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Answer = Callable[[Request, bytes], Response]


@dataclass(slots=True)
class Scripted:
    """What it was asked, and what it answers: `on[method, path]`, and 404 for anything else."""

    url: str
    on: dict[tuple[str, str], Answer] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def answers(self, method: str, path: str, document: object, status: int = 200) -> None:
        """Answers with JSON."""
        self.on[method, path] = lambda *_: JSONResponse(document, status)


@contextmanager
def scripted() -> Iterator[Scripted]:
    """Serves for as long as the block runs."""
    listener = socket.create_server(("127.0.0.1", 0))
    platform = Scripted(f"http://127.0.0.1:{listener.getsockname()[1]}")

    async def answer(request: Request) -> Response:
        body = await request.body()
        platform.asked.append((request.method, request.url.path))
        platform.requests.append(request)
        platform.bodies.append(body)
        known = platform.on.get((request.method, request.url.path))
        return known(request, body) if known else JSONResponse({"message": "unknown", "reason": "not-found"}, 404)

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", answer, methods=methods)])
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield platform
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
