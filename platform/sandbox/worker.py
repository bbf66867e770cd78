"""One worker: its process, its socket, the calls in flight, and how it ended.

A worker is started blank, specialised once, and then takes calls until it is stopped or ends. It fails the calls in
flight itself, each exactly once. Time-outs cost no timer per call: all calls of a worker have the same time, so the
oldest is the first to run out, and one timer looks at it.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final, cast

import orjson

from cloudserve.sandbox.abc import ColdStart, LogEntry
from cloudserve.sandbox.answers import StreamedAnswer
from cloudserve.sandbox.flight import Failure, Flight, failure_of, read_stream_head
from cloudserve.sandbox.heads import BadHead, check_status, read_head, write_head
from cloudserve.sandbox.protocol import (
    CALL,
    CANCEL,
    CREDIT,
    END,
    FAILED,
    HEAD,
    HEADER,
    HELLO,
    LOG,
    OPEN,
    PART,
    PART_BYTES,
    READY,
    REFUSED,
    RESULT,
    SPECIALISE,
    U32,
    WINDOW_BYTES,
    FrameReader,
    ProtocolError,
    frame,
)
from cloudserve.sandbox.zygote import Zygote, pipe

CANCEL_GRACE_SECONDS: Final = 0.25
"""How long a call may take to stop after CANCEL before its worker is killed."""

_JOINED_BODY_BYTES: Final = 64 * 1024
_LAST_WORDS_BYTES: Final = 4096
_MAX_LOOSE_LINES: Final = 200

_log = logging.getLogger(__name__)


class WorkerLost(Exception):  # noqa: N818 - reads as what happened
    """A worker that ended, or refused its code, before it could take calls."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Worker(asyncio.Protocol):
    """A worker process. Made by `start`; `on_room` is called when a call has ended and another could begin, `on_gone`
    once, when the process has ended.
    """

    def __init__(self, *, zygote: Zygote, folder: Path, memory_mb: int) -> None:
        loop = asyncio.get_running_loop()
        self.folder = folder
        self.memory_mb = memory_mb
        self.pid = 0
        self.concurrency = 1
        self.timeout = 0.0
        self.max_response_bytes = 0
        self.cold: ColdStart | None = None
        self.last_used = time.monotonic()
        self.listed_free = False
        self.stopping = False
        self.peak_kib = 0
        self.on_room: Callable[[Worker], None] = _nothing
        self.on_gone: Callable[[Worker], None] = _nothing
        self.hello: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[int] = loop.create_future()
        self._ready: asyncio.Future[dict[str, Any]] = loop.create_future()
        for future in (self.hello, self._ready):
            future.add_done_callback(_retrieve)
        self._loop = loop
        self._zygote = zygote
        self._id = 0
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader()
        self._flights: dict[int, Flight] = {}
        self._given_up: dict[int, asyncio.TimerHandle] = {}
        self._last_call = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._output = -1
        self._last_words = b""
        self._loose: deque[LogEntry] = deque(maxlen=_MAX_LOOSE_LINES)
        self._doom: Failure | None = None

    # -- its life ------------------------------------------------------------------------------------------------

    async def start(self, argv: list[str] | None) -> None:
        """Starts the process; it is blank until `specialise`. Raises `WorkerLost`."""
        ours, theirs = socket.socketpair()
        self._output, output = pipe()
        self.folder.mkdir(mode=0o700)
        try:
            try:
                await self._loop.create_unix_connection(lambda: self, sock=ours)
            except BaseException:
                ours.close()
                self._on_ended(-signal.SIGKILL, 0)
                raise
            self._loop.add_reader(self._output, self._read_output)
            self._id, self.pid = await self._zygote.spawn(
                sock=theirs.fileno(), output=output, cwd=self.folder, argv=argv, on_ended=self._on_ended
            )
        except OSError as error:
            self._on_ended(-signal.SIGKILL, 0)
            raise WorkerLost(Failure("crash", f"No worker could be started: {error}.")) from error
        finally:
            theirs.close()
            os.close(output)

    async def specialise(self, spec: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Has the worker load its code and returns its report. Raises `WorkerLost`."""
        try:
            async with asyncio.timeout(seconds):
                await self.hello
                self._write(frame(SPECIALISE, 0, orjson.dumps(spec)))
                return await self._ready
        except TimeoutError:
            message = f"The code did not load within {seconds:g} s."
            failure = Failure("timeout", message, limit=f"{seconds:g} s to load")
            self.kill(failure)
            raise WorkerLost(failure) from None

    def limit_data(self, size: int) -> None:
        """Bounds its data segment, in bytes."""
        self._zygote.limit_data(self._id, size)

    def stop(self) -> None:
        """Ends an idle worker."""
        self.stopping = True
        self.kill(Failure("shutdown", "The worker was stopped."))

    def kill(self, cause: Failure) -> None:
        """Ends the process at once; its calls fail with this cause, once it is gone."""
        self.stopping = True
        if self._doom is None:
            self._doom = cause
        if not self.ended.done():
            self._zygote.kill(self._id)

    @property
    def busy(self) -> int:
        """The calls in it, those included that nobody waits for any more."""
        return len(self._flights) + len(self._given_up)

    def has_room(self) -> bool:
        """Whether it can take another call."""
        return not self.stopping and len(self._flights) + len(self._given_up) < self.concurrency

    # -- calls ---------------------------------------------------------------------------------------------------

    def begin(self, flight: Flight) -> None:
        """Hands it a call, for which it must have room."""
        self._last_call = call_id = (self._last_call + 1) & 0xFFFFFFFF or 1
        flight.call_id = call_id
        flight.begun = now = time.perf_counter()
        flight.deadline = now + self.timeout
        self._flights[call_id] = flight
        if flight.queued:
            flight.cold, self.cold = self.cold, None
        while self._loose:
            flight.add_log(self._loose.popleft())
        head = write_head(flight.call)
        body = flight.call.body
        if not isinstance(body, bytes):
            self._write(HEADER.pack(len(head), OPEN, call_id) + head)
            flight.window = asyncio.Event()
            flight.upload = self._loop.create_task(self._upload(flight, flight.window, body))
        elif len(body) <= _JOINED_BODY_BYTES:
            size = len(head)
            self._write(b"".join((HEADER.pack(4 + size + len(body), CALL, call_id), U32.pack(size), head, body)))
        else:
            size = len(head)
            self._write(b"".join((HEADER.pack(4 + size + len(body), CALL, call_id), U32.pack(size), head)))
            self._write(body)
        if self._timer is None:
            self._timer = self._loop.call_later(self.timeout, self._look_at_oldest)

    def give_up(self, flight: Flight) -> None:
        """Tells the worker that nobody waits for this call; kills it when the call goes on regardless."""
        if self._flights.pop(flight.call_id, None) is None:
            return
        if flight.upload is not None:
            flight.upload.cancel()
        self._write(frame(CANCEL, flight.call_id))
        self._given_up[flight.call_id] = self._loop.call_later(CANCEL_GRACE_SECONDS, self._did_not_stop)

    def _did_not_stop(self) -> None:
        self.kill(Failure("crash", "The worker was ended because another call in it did not stop."))

    def _look_at_oldest(self) -> None:
        self._timer = None
        now = time.perf_counter()
        for flight in list(self._flights.values()):
            if flight.deadline > now:
                self._timer = self._loop.call_later(flight.deadline - now, self._look_at_oldest)
                return
            self.give_up(flight)
            limit = f"{self.timeout:g} s"
            flight.fail(
                Failure("timeout", f"The call did not end within {limit}.", memory_kib=self.peak_kib, limit=limit)
            )

    async def _upload(self, flight: Flight, window: asyncio.Event, body: AsyncIterator[bytes]) -> None:
        """Sends a body as it comes, at the pace of the worker."""
        call_id = flight.call_id
        room = WINDOW_BYTES
        try:
            async for chunk in body:
                view = memoryview(chunk)
                for at in range(0, len(view), PART_BYTES):
                    part = view[at : at + PART_BYTES]
                    while room < len(part):
                        await window.wait()
                        window.clear()
                        room += flight.received
                        flight.received = 0
                    room -= len(part)
                    await self._writable.wait()
                    self._write(b"".join((HEADER.pack(len(part), PART, call_id), part)))
            self._write(frame(END, call_id))
        except Exception as error:  # noqa: BLE001 - whatever the caller's stream raises ends this call alone
            self.give_up(flight)
            flight.fail(Failure("exception", f"The request's body broke off: {error}.", status=400))
        finally:
            flight.received = 0
            flight.window = None

    # -- frames --------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        try:
            for kind, call_id, payload in self._reader.feed(data):
                if kind == RESULT:
                    flight = self._flights.get(call_id)
                    if flight is None:
                        self._stopped(call_id)
                        continue
                    if flight.answer is not None:
                        raise ProtocolError("A second answer to one call.")
                    self._read_output()
                    if len(payload) > self.max_response_bytes:
                        self._too_large(flight)
                    else:
                        flight.succeed(payload)
                    del self._flights[call_id]
                    self._end(flight)
                else:
                    self._other(kind, call_id, payload)
        except (ProtocolError, ValueError, struct.error) as error:
            _log.warning("worker %d broke the protocol: %s", self.pid, error)
            self.kill(Failure("crash", "The function's process wrote to its own connection."))

    def _other(self, kind: int, call_id: int, payload: bytes) -> None:
        if call_id == 0:
            self._of_itself(kind, payload)
            return
        flight = self._flights.get(call_id)
        if flight is None:
            if kind in (END, FAILED):
                self._stopped(call_id)
            return
        if kind == LOG:
            flight.log(payload)
        elif kind == PART:
            self._part(flight, payload)
        elif kind == CREDIT:
            if flight.window is not None:
                flight.received += U32.unpack(payload)[0]
                flight.window.set()
        elif kind == HEAD:
            self._head(flight, payload)
        elif kind == END:
            self._read_output()
            flight.close(U32.unpack(payload)[0])
            del self._flights[call_id]
            self._end(flight)
        elif kind == FAILED:
            self._read_output()
            fault = _document(payload)
            flight.fail(self._with_limit(failure_of(fault)))
            del self._flights[call_id]
            if fault.get("ending") is True:  # a next call would be lost with it
                self.kill(Failure("crash", "The worker ended because of what another call in it threw."))
            self._end(flight)

    def _of_itself(self, kind: int, payload: bytes) -> None:
        if kind == HELLO:
            if not self.hello.done():
                self.hello.set_result(None)
        elif kind == READY:
            if not self._ready.done():
                self._ready.set_result(_document(payload))
        elif kind == REFUSED:
            if not self._ready.done():
                self._ready.set_exception(WorkerLost(self._with_limit(failure_of(_document(payload)))))
        elif kind == LOG:
            stray = Flight.__new__(Flight)
            stray.logs, stray.log_room, stray.logs_truncated = None, _LAST_WORDS_BYTES, False
            stray.log(payload)
            self._loose.extend(stray.logs or ())

    def _head(self, flight: Flight, payload: bytes) -> None:
        if flight.answer is not None:
            raise ProtocolError("A second answer to one call.")
        status, length, head = read_stream_head(payload)
        try:
            check_status(status)
            headers = read_head(head)
        except BadHead as error:
            self.give_up(flight)
            flight.fail(Failure("bad-response", str(error), memory_kib=self.peak_kib))
            return
        if length is not None:
            if length > self.max_response_bytes:
                self.give_up(flight)
                self._too_large(flight)
                return
            headers = (*headers, (b"content-length", str(length).encode()))

        def consumed(size: int) -> None:
            if not flight.ended:
                self._write(frame(CREDIT, flight.call_id, U32.pack(size)))

        def given_up() -> None:
            self.give_up(flight)
            flight.fail(Failure("exception", "The caller went away.", name="Cancelled"))

        flight.received = 0
        flight.open(payload, StreamedAnswer(status, headers, on_consumed=consumed, on_given_up=given_up))

    def _part(self, flight: Flight, payload: bytes) -> None:
        if flight.answer is None:
            raise ProtocolError("A part before the head.")
        if flight.answer.held + len(payload) > WINDOW_BYTES:
            raise ProtocolError("More parts than there is credit for.")
        flight.received += len(payload)
        if flight.received > self.max_response_bytes:
            self.give_up(flight)
            self._too_large(flight)
        else:
            flight.answer.take(payload)

    def _too_large(self, flight: Flight) -> None:
        limit = f"{self.max_response_bytes / 1048576:g} MB"
        flight.fail(
            Failure(
                "response-too-large",
                f"The answer is larger than {limit}.",
                memory_kib=self.peak_kib,
                limit=limit,
            )
        )

    def _end(self, flight: Flight) -> None:
        if flight.upload is not None and not flight.upload.done():
            flight.upload.cancel()
        self.last_used = time.monotonic()
        self.on_room(self)

    def _stopped(self, call_id: int) -> None:
        """A call that was given up has stopped by itself."""
        grace = self._given_up.pop(call_id, None)
        if grace is not None:
            grace.cancel()
            self.on_room(self)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    # -- the transport's side ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._writable.set()
        if self._id:
            self.stopping = True
            self._zygote.kill(self._id)

    def _read_output(self) -> None:
        """Takes what went past the language's own streams: native code, child processes, a dying interpreter.

        Called when there is some, and before a call ends: what it wrote shall not be taken for the next one's.
        """
        if self._output < 0:
            return
        try:
            data = os.read(self._output, 65536)
        except BlockingIOError:
            return
        if not data:
            self._loop.remove_reader(self._output)
            return
        self._last_words = (self._last_words + data)[-_LAST_WORDS_BYTES:]
        now = time.time()
        flight = next(iter(self._flights.values())) if len(self._flights) == 1 else None
        for line in data.decode("utf-8", "replace").splitlines():
            entry = LogEntry(now, "info", line)
            if flight is not None:
                flight.add_log(entry)
            else:
                self._loose.append(entry)

    # -- its end -------------------------------------------------------------------------------------------------

    def _on_ended(self, status: int, peak_kib: int) -> None:
        if self.ended.done():
            return
        self.stopping = True
        self._read_output()
        if self._output >= 0:
            self._loop.remove_reader(self._output)
            os.close(self._output)
            self._output = -1
        if self._timer is not None:
            self._timer.cancel()
        for grace in self._given_up.values():
            grace.cancel()
        self._given_up.clear()
        cause = self._doom or self._cause(status, peak_kib)
        for future in (self.hello, self._ready):
            if not future.done():
                future.set_exception(WorkerLost(cause))
        flights, self._flights = list(self._flights.values()), {}
        for flight in flights:
            if flight.upload is not None:
                flight.upload.cancel()
            flight.fail(cause)
        for entry in self._loose:
            _log.info("worker %d said outside of a call: %s", self.pid, entry.message)
        if self._transport is not None:
            self._transport.abort()
        self._remove_folder()
        if not self.ended.done():
            self.ended.set_result(status)
        self.on_gone(self)

    def _remove_folder(self) -> None:
        try:
            self.folder.rmdir()
        except OSError:
            self._loop.run_in_executor(None, lambda: shutil.rmtree(self.folder, ignore_errors=True))

    def _cause(self, status: int, peak_kib: int) -> Failure:
        if status == -signal.SIGABRT and b"out of memory" in self._last_words:
            # It may have grown and ended between two looks of the watchdog, who then knows of less.
            return self.out_of_memory(max(self.peak_kib, peak_kib))
        words = self._last_words.decode("utf-8", "replace").strip() or None
        if status >= 0:
            message = f"The function's process ended with exit code {status}."
            return Failure("crash", message, memory_kib=self.peak_kib, detail=words and f"{message}\n{words}")
        name = str(-status)
        with contextlib.suppress(ValueError):
            name = signal.Signals(-status).name
        message = f"The function's process was ended by signal {name}."
        return Failure(
            "crash", message, memory_kib=self.peak_kib, signal=-status, detail=words and f"{message}\n{words}"
        )

    def out_of_memory(self, peak_kib: int) -> Failure:
        """Returns the failure of a worker that wanted more memory than it may have."""
        limit = f"{self.memory_mb} MB"
        message = f"Out of memory: peak {peak_kib / 1024:.0f} MB of {limit}."
        return Failure("out-of-memory", message, memory_kib=peak_kib, limit=limit)

    def _with_limit(self, failure: Failure) -> Failure:
        if failure.reason != "out-of-memory":
            return failure
        return self.out_of_memory(failure.memory_kib)


def _document(payload: bytes) -> dict[str, Any]:
    document = orjson.loads(payload)
    if not isinstance(document, dict):
        raise ProtocolError("A JSON payload that is no object.")
    return document


def _nothing(_worker: Worker) -> None:
    """What nobody listens for."""


def _retrieve(future: "asyncio.Future[Any]") -> None:
    """Marks a failure as seen: who waits for it gets it, and maybe nobody does."""
    if not future.cancelled():
        future.exception()
