"""Traces reach a collector as spans of one trace, and `traceparent` goes on to whoever is called."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from cloudserve.core.telemetry import tracing
from cloudserve.core.telemetry.correlation import trace_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """An OTLP collector that keeps what it gets."""

    def __init__(self) -> None:
        self.requests: list[Any] = []

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's own names
        """Takes spans."""
        self.requests.append(request)
        return trace_service_pb2.ExportTraceServiceResponse()

    def spans(self) -> list[Any]:
        """Returns the spans that came."""
        return [
            span for one in self.requests for of in one.resource_spans for in_ in of.scope_spans for span in in_.spans
        ]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector on loopback that the environment names."""
    made = Collector()
    server = grpc.server(ThreadPoolExecutor(1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(made, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    yield made
    server.stop(None).wait()


async def call(application: tracing.Application, headers: list[tuple[bytes, bytes]]) -> None:
    """Sends one request."""

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(_message: Any) -> None:
        """Nobody reads the answer."""

    scope = {"type": "http", "method": "GET", "path": "/run/ada/hello", "headers": headers}
    await application(scope, receive, send)


def test_without_a_collector_there_are_no_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor when they are switched off."""
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert not tracing.wanted()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317")
    assert tracing.wanted()
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not tracing.wanted()


async def test_a_request_is_a_span_of_its_callers_trace(collector: Collector) -> None:
    """What is called gets the span as its parent, and the span knows how it ended."""
    made = tracing.Tracing("cloudserve-gateway")
    passed: list[tuple[bytes, bytes]] = []

    async def application(scope: Any, _receive: Any, send: Any) -> None:
        passed.extend(scope["headers"])
        headers = [(b"x-cloudserve-execution-id", b"01jd")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"hello"})

    await call(tracing.Traced(application, made), [(b"accept", b"*/*"), (b"traceparent", PARENT.encode())])
    made.close()
    (span,) = collector.spans()
    onward = dict(passed)[b"traceparent"].decode()
    assert (onward.split("-")[1], onward.split("-")[2]) == (TRACE, span.span_id.hex())
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT.split("-")[2])
    assert span.name == "GET /run/{owner}/{function}"
    attributes = {one.key: one.value for one in span.attributes}
    assert attributes["http.response.status_code"].int_value == 200
    assert attributes["faas.invocation_id"].string_value == "01jd"
    assert (b"accept", b"*/*") in passed


async def test_a_request_without_a_trace_begins_one(collector: Collector) -> None:
    """Also one whose header is malformed; and a request that fails has its span all the same."""
    made = tracing.Tracing("cloudserve-api")
    passed: list[str] = []

    async def application(scope: Any, _receive: Any, _send: Any) -> None:
        passed.append(dict(scope["headers"])[b"traceparent"].decode())
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        await call(tracing.Traced(application, made), [(b"traceparent", b"nonsense")])
    made.close()
    (span,) = collector.spans()
    assert span.trace_id.hex() == trace_id(passed[0])
