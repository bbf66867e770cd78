"""The internal port of a service: `/metrics`, and the probes again, which answer there until the very end.

It is for the host and its network alone: whoever reaches it reads the names of functions and how often they are called.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest

from cloudserve.cli.services.service import Collector
from cloudserve.core.readiness import Readiness
from cloudserve.gateway.asgi import Receive, Scope, Send

_JSON: Final = "application/json"


class Internal:
    """The application of the internal port. `check` tells whether traffic may come, `scrape` returns the metrics."""

    def __init__(self, check: Callable[[], Awaitable[Readiness]], scrape: Callable[[], Awaitable[bytes]]) -> None:
        self._check = check
        self._scrape = scrape

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answers one request."""
        status, kind, body = await self._answer(scope["method"], scope["path"])
        headers = [
            (b"content-type", kind.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, method: str, path: str) -> tuple[int, str, bytes]:
        if method not in ("GET", "HEAD"):
            return 405, _JSON, _json({"message": "Only GET is answered here."})
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, await self._scrape()
        if path == "/healthz":
            return 200, _JSON, _json({"status": "ok"})
        if path == "/readyz":
            found = await self._check()
            return 200 if found.ready else 503, _JSON, _json(found.document())
        return 404, _JSON, _json({"message": "There are /metrics, /healthz and /readyz here."})


class Scrape:
    """The metrics of one process: its own, and those of the collectors that are added."""

    def __init__(self, collectors: Iterable[Collector]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)
        self.add(collectors)

    def add(self, collectors: Iterable[Collector]) -> None:
        """Takes up more of them."""
        for collector in collectors:
            self._registry.register(collector)

    async def __call__(self) -> bytes:
        """Returns all of them in Prometheus' text format."""
        return generate_latest(self._registry)


def _json(document: Any) -> bytes:
    return orjson.dumps(document)
