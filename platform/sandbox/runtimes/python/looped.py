"""Serves calls on an event loop: asynchronous handlers as tasks, synchronous ones on threads, several at once."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Final

from cloudserve.sandbox.protocol import CALL, CANCEL, CREDIT, END, OPEN, PART, U32, WHOLE_BYTES, WINDOW_BYTES
from cloudserve.sandbox.runtimes.python import faults
from cloudserve.sandbox.runtimes.python.blocking import chunk_bytes
from cloudserve.sandbox.runtimes.python.logs import CallLog
from cloudserve.sandbox.runtimes.python.memory import peak_kib
from cloudserve.sandbox.runtimes.python.request import Request, read_call, read_head
from cloudserve.sandbox.runtimes.python.service import Service
from cloudserve.sandbox.runtimes.python.wire import head_bytes, result_frame, slices

_RECEIVE_BYTES: Final = 256 * 1024
_ENDED: Final = object()


def serve(service: Service) -> None:
    """Serves calls until the host is gone."""
    asyncio.run(_Server(service).run())


class _Under:
    """A call under way: its task, the credit of its answer, and its body while that still comes."""

    __slots__ = ("credit", "head", "parts", "task", "window")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.window = WINDOW_BYTES
        self.credit: asyncio.Event | None = None
        self.head = b""
        self.parts: list[bytes] = []


class _Server:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._calls: dict[int, _Under] = {}
        self._answers: list[bytes] = []
        self._threads = ThreadPoolExecutor(max(1, service.concurrency), thread_name_prefix="call")

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._service.wire.sock.fileno(), self._readable)
        await loop.create_future()

    def _send_soon(self, frame: bytes) -> None:
        """Sends an answer, with all others of this turn of the loop in one piece."""
        if not self._answers:
            asyncio.get_running_loop().call_soon(self._send_answers)
        self._answers.append(frame)

    def _send_answers(self) -> None:
        answers, self._answers = self._answers, []
        self._service.wire.send(b"".join(answers))

    def _readable(self) -> None:
        wire = self._service.wire
        data = wire.sock.recv(_RECEIVE_BYTES)
        if not data:
            os._exit(0)
        for kind, call_id, payload in wire.reader.feed(data):
            if kind == CALL:
                self._begin(call_id, _Under(), read_call(payload, self._service.timeout))
            else:
                self._other(kind, call_id, payload)

    def _other(self, kind: int, call_id: int, payload: bytes) -> None:
        service = self._service
        if kind == OPEN:
            under = self._calls[call_id] = _Under()
            under.head = payload
            return
        call = self._calls.get(call_id)
        if call is None:
            return
        if kind == PART:
            call.parts.append(payload)
            service.wire.credit(call_id, len(payload))
        elif kind == END:
            self._begin(call_id, call, read_head(call.head, b"".join(call.parts), service.timeout))
            call.parts.clear()
        elif kind == CREDIT:
            call.window += U32.unpack(payload)[0]
            if call.credit is not None:
                call.credit.set()
        elif kind == CANCEL and call.task is not None:
            call.task.cancel()
        elif kind == CANCEL:
            del self._calls[call_id]
            service.wire.failed(call_id, faults.describe(asyncio.CancelledError(), service.code))

    def _begin(self, call_id: int, call: _Under, request: Request) -> None:
        self._calls[call_id] = call
        call.task = asyncio.create_task(self._run(call_id, call, request))

    async def _run(self, call_id: int, call: _Under, request: Request) -> None:
        service = self._service
        wire = service.wire
        log: CallLog = service.logs.begin(call_id)
        try:
            if service.handler.is_async:
                value = service.handler.call(request)
            else:
                value = await self._in_thread(service.handler.call, request)
            if hasattr(value, "__await__"):
                value = await value
            response = service.handler.respond(value)
            head = head_bytes(response.headers)
            body = response.body
            if isinstance(body, bytes) and len(body) <= WHOLE_BYTES:
                service.logs.finish(log)
                self._send_soon(result_frame(call_id, response.status, peak_kib(), head, body))
                return
            wire.head(call_id, response.status, len(body) if isinstance(body, bytes) else None, head)
            await self._stream(call_id, call, body)
            service.logs.finish(log)
            wire.end(call_id, peak_kib())
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is this call's answer
            service.logs.finish(log)
            wire.failed(call_id, faults.describe(error, service.code))
        finally:
            self._calls.pop(call_id, None)

    async def _in_thread(self, function: Any, *arguments: Any) -> Any:
        """Runs it and waits for its end, also when the call is cancelled meanwhile: nothing can stop a thread, and the
        host takes an answer to mean that nothing of the call goes on. Without one it ends the worker.
        """
        run = copy_context().run
        running = asyncio.get_running_loop().run_in_executor(self._threads, run, function, *arguments)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise

    async def _stream(self, call_id: int, call: _Under, body: bytes | Iterator[Any] | AsyncIterator[Any]) -> None:
        if isinstance(body, bytes):
            await self._send(call_id, call, body)
        elif isinstance(body, AsyncIterator):
            try:
                async for item in body:
                    await self._send(call_id, call, chunk_bytes(item))
            finally:
                close = getattr(body, "aclose", None)
                if close is not None:
                    await close()
        else:
            while (item := await self._in_thread(next, body, _ENDED)) is not _ENDED:
                await self._send(call_id, call, chunk_bytes(item))

    async def _send(self, call_id: int, call: _Under, chunk: bytes) -> None:
        for part in slices(chunk):
            while call.window < len(part):
                call.credit = asyncio.Event()
                await call.credit.wait()
            call.window -= len(part)
            self._service.wire.part(call_id, part)
