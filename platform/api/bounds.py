"""How long a request of the platform's origin may take, and how many are served at once.

With a store that takes seconds for an answer, requests would pile up, and with them connections, tasks and uploads in
memory. So each is given up after a while, and while many are under way whoever comes is told to come again. Probes are
answered beside them: they have limits of their own.
"""

import asyncio
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloudserve.api.middleware import PROBES, is_functions, render, request_id_of
from cloudserve.core.errors import Problem

REQUEST_SECONDS: Final = 30.0
"""How long a request may take, unless its route allows more with `allow_time`."""
MOST_REQUESTS: Final = 256

_LIMIT: Final = "cloudserve.time"


def allow_time(scope: Scope, seconds: float) -> None:
    """Lets a request take `seconds` from now on."""
    limit: asyncio.Timeout = scope[_LIMIT]
    limit.reschedule(asyncio.get_running_loop().time() + seconds)


class Bounds:
    """Gives up requests that take too long, and refuses those that are too many, both with a 503."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request, or refuses it."""
        if scope["type"] != "http" or is_functions(scope) or scope["path"] in PROBES:
            await self.app(scope, receive, send)
            return
        if self._under_way >= MOST_REQUESTS:
            await render(_overloaded(), request_id_of(scope))(scope, receive, send)
            return
        begun = False

        async def noting_send(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        limit = scope[_LIMIT] = asyncio.timeout(REQUEST_SECONDS)
        self._under_way += 1
        try:
            async with limit:
                await self.app(scope, receive, noting_send)
        except TimeoutError:
            if begun or not limit.expired():
                raise
            await render(_slow(), request_id_of(scope))(scope, receive, send)
        finally:
            self._under_way -= 1


def _overloaded() -> Problem:
    message = "The platform is busy with other requests. Try again in a moment."
    return Problem(503, message, reason="overloaded", headers={"Retry-After": "5"})


def _slow() -> Problem:
    message = "This took too long: the platform's store or object store is slow. Try again in a moment."
    return Problem(503, message, reason="slow", headers={"Retry-After": "5"})
