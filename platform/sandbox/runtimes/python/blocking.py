"""Serves one call at a time on the main thread, without an event loop: the fastest way for synchronous handlers."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

from cloudserve.sandbox.protocol import (
    CALL,
    CANCEL,
    CREDIT,
    END,
    OPEN,
    PART,
    U32,
    WHOLE_BYTES,
    WINDOW_BYTES,
)
from cloudserve.sandbox.runtimes.python import faults
from cloudserve.sandbox.runtimes.python.memory import peak_kib
from cloudserve.sandbox.runtimes.python.request import Request, read_call, read_head
from cloudserve.sandbox.runtimes.python.responses import BadResponse
from cloudserve.sandbox.runtimes.python.service import Service
from cloudserve.sandbox.runtimes.python.wire import head_bytes, slices


class Cancelled(BaseException):
    """The caller has given the call up; a BaseException, so that user code does not swallow it."""


def serve(service: Service) -> None:
    """Serves calls until the host is gone."""
    wire = service.wire
    while True:
        kind, call_id, payload = wire.receive()
        if kind == CALL:
            _run(service, call_id, read_call(payload, service.timeout))
        elif kind == OPEN:
            body = _whole_body(service, call_id)
            if body is not None:
                _run(service, call_id, read_head(payload, body, service.timeout))


def _whole_body(service: Service, call_id: int) -> bytes | None:
    """Collects a streamed body; None when the call was given up meanwhile."""
    parts: list[bytes] = []
    while True:
        kind, other, payload = service.wire.receive()
        if other != call_id:
            continue
        if kind == PART:
            parts.append(payload)
            service.wire.credit(call_id, len(payload))
        elif kind == END:
            return b"".join(parts)
        elif kind == CANCEL:
            service.wire.failed(call_id, faults.describe(Cancelled(), service.code))
            return None


def _run(service: Service, call_id: int, request: Request) -> None:
    wire = service.wire
    log = service.logs.begin(call_id)
    try:
        value = service.handler.call(request)
        if inspect.isawaitable(value):
            value = asyncio.run(_awaited(value))
        response = service.handler.respond(value)
        head = head_bytes(response.headers)
        body = response.body
        if isinstance(body, bytes) and len(body) <= WHOLE_BYTES:
            service.logs.finish(log)
            wire.result(call_id, response.status, peak_kib(), head, body)
            return
        wire.head(call_id, response.status, len(body) if isinstance(body, bytes) else None, head)
        _stream(service, call_id, body)
        service.logs.finish(log)
        wire.end(call_id, peak_kib())
    except BaseException as error:  # noqa: BLE001 - whatever user code raises is this call's answer
        service.logs.finish(log)
        wire.failed(call_id, faults.describe(error, service.code))


async def _awaited(value: Any) -> Any:
    return await value


def _stream(service: Service, call_id: int, body: bytes | Iterator[Any] | AsyncIterator[Any]) -> None:
    window = WINDOW_BYTES
    for chunk in _chunks(body):
        for part in slices(chunk):
            while window < len(part):
                window += _credit(service, call_id)
            window -= len(part)
            service.wire.part(call_id, part)


def _chunks(body: bytes | Iterator[Any] | AsyncIterator[Any]) -> Iterator[bytes]:
    if isinstance(body, bytes):
        yield body
    elif isinstance(body, Iterator):
        try:
            for item in body:
                yield chunk_bytes(item)
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()
    else:
        with asyncio.Runner() as runner:
            while True:
                try:
                    item = runner.run(_awaited(anext(body)))
                except StopAsyncIteration:
                    return
                yield chunk_bytes(item)


def _credit(service: Service, call_id: int) -> int:
    while True:
        kind, other, payload = service.wire.receive()
        if other != call_id:
            continue
        if kind == CREDIT:
            return int(U32.unpack(payload)[0])
        if kind == CANCEL:
            raise Cancelled


def chunk_bytes(item: Any) -> bytes:
    """Returns an item of a stream as bytes. Raises `BadResponse`."""
    if isinstance(item, bytes):
        return item
    if isinstance(item, str):
        return item.encode("utf-8", "surrogatepass")
    if isinstance(item, bytearray | memoryview):
        return bytes(item)
    raise BadResponse(f"A stream must yield bytes or str, not {type(item).__name__}.")
