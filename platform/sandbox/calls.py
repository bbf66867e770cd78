"""The calls in flight in one worker: their frames over its socket, and their time-outs.

Each call ends exactly once: answered, failed, given up, or with its worker (`fail_all`). Time-outs cost no timer per
call: all calls of a worker have the same time, so the oldest is the first to run out, and one timer looks at it.
"""

import asyncio
import struct
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, cast

import orjson

from cloudserve.core.confine.bounds import Bounds
from cloudserve.sandbox.abc import LogEntry
from cloudserve.sandbox.answers import StreamedAnswer
from cloudserve.sandbox.ends import WorkerLost
from cloudserve.sandbox.failures import Failure, failure_of
from cloudserve.sandbox.flight import Flight, log_entry, read_stream_head
from cloudserve.sandbox.heads import BadHead, check_status, read_head, write_head
from cloudserve.sandbox.limits import timed_out, too_large, with_figures
from cloudserve.sandbox.output import Output
from cloudserve.sandbox.protocol import (
    CACHE,
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

CANCEL_GRACE_SECONDS: Final = 0.25
"""How long a call may take to stop after CANCEL before its worker is killed."""

_JOINED_BODY_BYTES: Final = 64 * 1024
_MAX_LOOSE_LINES: Final = 200


class Calls(asyncio.Protocol):
    """The calls of one worker.

    `kill` ends the worker: a call in it does not stop, or it broke the protocol. `on_room` is called when a call has
    ended and another could begin, `on_disconnected` when the socket is closed.
    """

    def __init__(self, *, bounds: Bounds, kill: Callable[[Failure], None], on_disconnected: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self.timeout = 0.0
        self.max_response_bytes = 0
        self.memory_mb = 0
        self.peak_kib = 0
        self.last_used = time.monotonic()
        self.last_begun = 0.0
        self.last_seconds = 0.0
        self.on_room: Callable[[], None] = _nothing
        self.on_code: Callable[[bytes], None] = _ignore
        """Takes each piece of the code cache that the worker was asked for."""
        self.output = Output(self._loop, self._printed)
        self.hello: asyncio.Future[None] = self._loop.create_future()
        self.ready: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        for future in (self.hello, self.ready):
            future.add_done_callback(_retrieve)
        self._bounds = bounds
        self._kill = kill
        self._on_disconnected = on_disconnected
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader()
        self._flights: dict[int, Flight] = {}
        self._given_up: dict[int, asyncio.TimerHandle] = {}
        self._last_call = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._loose: deque[LogEntry] = deque(maxlen=_MAX_LOOSE_LINES)

    @property
    def count(self) -> int:
        """The calls in the worker, those included that nobody waits for any more."""
        return len(self._flights) + len(self._given_up)

    @property
    def begun(self) -> int:
        """How many calls it was ever handed; the number of the newest."""
        return self._last_call

    @property
    def oldest(self) -> int:
        """The number of the call that is in the worker for the longest time, 0 without any."""
        return next(iter(self._flights), 0) or next(iter(self._given_up), 0)

    def note(self, entry: LogEntry) -> None:
        """Adds a line to the log of the next call."""
        self._loose.append(entry)

    def specialise(self, spec: dict[str, Any]) -> None:
        """Tells the worker what to load; `ready` then gets its report, or `WorkerLost`."""
        self._write(frame(SPECIALISE, 0, orjson.dumps(spec)))

    def give_code(self, cache: bytes) -> None:
        """Gives a blank worker the code cache of what it will load."""
        self._write(HEADER.pack(len(cache), CACHE, 0))
        self._write(cache)

    def ask_for_code(self) -> None:
        """Has a worker make a code cache, for which it takes some ten milliseconds; `on_code` then gets it."""
        self._write(frame(CACHE, 0))

    def begin(self, flight: Flight) -> None:
        """Hands the worker a call."""
        self._last_call = call_id = (self._last_call + 1) & 0xFFFFFFFF or 1
        flight.call_id = call_id
        flight.begun = self.last_begun = now = time.perf_counter()
        flight.deadline = now + self.timeout
        flight.on_given_up = self.give_up
        self._flights[call_id] = flight
        flight.allow_log(self._bounds.log_bytes)
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

    def fail_all(self, cause: Failure) -> list[LogEntry]:
        """Fails every call, now that the worker has ended, and returns what it printed outside of any."""
        self.output.close()
        if self._timer is not None:
            self._timer.cancel()
        for grace in self._given_up.values():
            grace.cancel()
        self._given_up.clear()
        for future in (self.hello, self.ready):
            if not future.done():
                future.set_exception(WorkerLost(cause))
        flights, self._flights = list(self._flights.values()), {}
        for flight in flights:
            if flight.upload is not None:
                flight.upload.cancel()
            flight.fail(cause)
        if self._transport is not None:
            self._transport.abort()
        return list(self._loose)

    # -- the transport's side ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._writable.set()
        self._on_disconnected()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

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
                    self.output.read()  # what was written in this call shall not be taken for the next one's
                    if len(payload) > self.max_response_bytes:
                        flight.fail(too_large(len(payload), self.max_response_bytes, self.peak_kib))
                    else:
                        flight.succeed(payload)
                    self._end(flight)
                else:
                    self._take(kind, call_id, payload)
        except (ProtocolError, ValueError, struct.error) as error:
            self._kill(Failure("crash", "The function's process wrote to its own connection.", detail=str(error)))

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    # -- frames --------------------------------------------------------------------------------------------------

    def _take(self, kind: int, call_id: int, payload: bytes) -> None:
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
            self.output.read()
            flight.close(U32.unpack(payload)[0])
            self._end(flight)
        elif kind == FAILED:
            self.output.read()
            fault = _document(payload)
            flight.fail(self._failure_of(fault))
            if fault.get("ending") is True:  # a next call would be lost with it
                self._kill(Failure("crash", "The worker ended because of what another call in it threw."))
            self._end(flight)

    def _of_itself(self, kind: int, payload: bytes) -> None:
        if kind == HELLO:
            if not self.hello.done():
                self.hello.set_result(None)
        elif kind == READY:
            if not self.ready.done():
                self.ready.set_result(_document(payload))
        elif kind == REFUSED:
            if not self.ready.done():
                self.ready.set_exception(WorkerLost(self._failure_of(_document(payload))))
        elif kind == LOG:
            entry = log_entry(payload)
            if isinstance(entry, LogEntry):
                self._loose.append(entry)
        elif kind == CACHE:
            self.on_code(payload)

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
                flight.fail(too_large(length, self.max_response_bytes, self.peak_kib))
                return
            headers = (*headers, (b"content-length", str(length).encode()))

        def consumed(size: int) -> None:
            if not flight.ended:
                self._write(frame(CREDIT, flight.call_id, U32.pack(size)))

        flight.received = 0
        answer = StreamedAnswer(status, headers, on_consumed=consumed, on_given_up=flight.give_up)
        answer.cold = flight.cold
        flight.open(answer)

    def _part(self, flight: Flight, payload: bytes) -> None:
        if flight.answer is None:
            raise ProtocolError("A part before the head.")
        if flight.answer.held + len(payload) > WINDOW_BYTES:
            raise ProtocolError("More parts than there is credit for.")
        flight.received += len(payload)
        if flight.received > self.max_response_bytes:
            self.give_up(flight)
            flight.fail(too_large(flight.received, self.max_response_bytes, self.peak_kib))
        else:
            flight.answer.take(payload)

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

    # -- ends ----------------------------------------------------------------------------------------------------

    def _end(self, flight: Flight) -> None:
        self._flights.pop(flight.call_id, None)
        if flight.upload is not None and not flight.upload.done():
            flight.upload.cancel()
        self.last_used = time.monotonic()
        self.last_seconds = time.perf_counter() - flight.begun
        self.on_room()

    def _stopped(self, call_id: int) -> None:
        """A call that was given up has stopped by itself."""
        grace = self._given_up.pop(call_id, None)
        if grace is not None:
            grace.cancel()
            self.on_room()

    def _did_not_stop(self) -> None:
        self._kill(Failure("crash", "The worker was ended because another call in it did not stop."))

    def _look_at_oldest(self) -> None:
        self._timer = None
        now = time.perf_counter()
        for flight in list(self._flights.values()):
            if flight.deadline > now:
                self._timer = self._loop.call_later(flight.deadline - now, self._look_at_oldest)
                return
            self.give_up(flight)
            flight.fail(timed_out(self.timeout, self.peak_kib))

    def _printed(self, entry: LogEntry) -> None:
        """Takes a line from outside the language's streams: for the only call under way, else for the next."""
        if len(self._flights) == 1:
            next(iter(self._flights.values())).add_log(entry)
        else:
            self._loose.append(entry)

    def log(self, message: str) -> None:
        """Adds a warning to the log of whichever calls are under way, else of the next one."""
        entry = LogEntry(time.time(), "warn", message)
        for flight in self._flights.values():
            flight.add_log(entry)
        if not self._flights:
            self._loose.append(entry)

    def _failure_of(self, fault: dict[str, Any]) -> Failure:
        return with_figures(failure_of(fault), fault, self.memory_mb, self._bounds)


def _document(payload: bytes) -> dict[str, Any]:
    document = orjson.loads(payload)
    if not isinstance(document, dict):
        raise ProtocolError("A JSON payload that is no object.")
    return document


def _nothing() -> None:
    """What nobody listens for."""


def _ignore(_piece: bytes) -> None:
    """What nobody asked for."""


def _retrieve(future: "asyncio.Future[Any]") -> None:
    """Marks a failure as seen: who waits for it gets it, and maybe nobody does."""
    if not future.cancelled():
        future.exception()
