"""OpenTelemetry traces: a span for each request, where the extra `otel` is installed and `OTEL_*` names a collector.

Without either there is no tracer and nothing is spent on one; `traceparent` still passes through to functions and into
the log (`correlation`). Sampling, batching, the collector's address and its headers are the SDK's own settings
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/); spans leave as OTLP over gRPC.
"""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_COLLECTORS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_EXPORTER: Final = "opentelemetry.exporter.otlp.proto.grpc"
_TRACEPARENT: Final = b"traceparent"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def wanted() -> bool:
    """Tells whether the environment names a collector."""
    return any(os.environ.get(name) for name in _COLLECTORS) and os.environ.get("OTEL_SDK_DISABLED", "") != "true"


def installed() -> bool:
    """Tells whether the extra `otel` is there."""
    try:
        return find_spec(_EXPORTER) is not None
    except ModuleNotFoundError:
        return False


class Tracing:
    """Makes the spans of one service. `close` sends those that wait."""

    def __init__(self, service: str) -> None:
        # Imported where there is a collector alone: the SDK takes 20 MB, and it is an extra.
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        name = os.environ.get("OTEL_SERVICE_NAME") or service
        self._provider: TracerProvider = TracerProvider(resource=Resource.create({"service.name": name}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("cloudserve")
        self._context = TraceContextTextMapPropagator()

    def close(self) -> None:
        """Sends the spans that wait; may take as long as the exporter's time-out."""
        self._provider.shutdown()

    def begin(self, name: str, headers: list[tuple[bytes, bytes]]) -> tuple["Span", list[tuple[bytes, bytes]]]:
        """Begins a span within the trace of these headers; returns it and the headers that go on from it."""
        from opentelemetry.trace import SpanKind, set_span_in_context  # noqa: PLC0415 - see above

        carrier = {
            key.decode("latin-1"): value.decode("latin-1")
            for key, value in headers
            if key in (_TRACEPARENT, b"tracestate")
        }
        span = self._tracer.start_span(name, self._context.extract(carrier), SpanKind.SERVER)
        onward: dict[str, str] = {}
        self._context.inject(onward, set_span_in_context(span))
        kept = [header for header in headers if header[0] != _TRACEPARENT]
        return span, [*kept, (_TRACEPARENT, onward["traceparent"].encode())]


class Traced:
    """An application each of whose requests is a span, named by its method and the template of its route."""

    def __init__(self, application: Application, tracing: Tracing) -> None:
        self._application = application
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        span, scope["headers"] = self._tracing.begin(scope["method"], scope["headers"])
        span.set_attributes({"http.request.method": scope["method"], "url.path": scope["path"]})

        async def noting(message: Any) -> None:
            if message["type"] == "http.response.start":
                span.set_attribute("http.response.status_code", message["status"])
                for name, value in message.get("headers", ()):
                    if name == b"x-cloudserve-execution-id":
                        span.set_attribute("faas.invocation_id", value.decode())
            await send(message)

        try:
            await self._application(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", None) or _template(scope["path"])
            if route is not None:
                span.set_attribute("http.route", route)
                span.update_name(f"{scope['method']} {route}")
            span.end()


def _template(path: str) -> str | None:
    return "/run/{owner}/{function}" if path.startswith("/run/") else None
