"""uvicorn's HTTP protocol with a straight way for warm calls (`straight`); everything else takes uvicorn's own.

A request takes the straight way when all of it is here at once, nothing else is being answered on its connection, and
the application has such a way. What it costs is what the parser costs, and one write per answer.
"""

import asyncio
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from uvicorn._types import ASGI3Application, HTTPScope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from cloudserve.gateway.asgi import Receive, Scope, Send
from cloudserve.gateway.headers import RequestHead, read_head
from cloudserve.gateway.straight import Request, Straight, StraightCall

STRAIGHT_BODY_BYTES: Final = 64 * 1024

RUN: Final = b"/run/"


class HttpProtocol(HttpToolsProtocol):
    """For `uvicorn.Config(http=…)`. An application has a straight way when it has a `straight`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        plain = not (self.root_path or self.config.access_log or self.limit_concurrency)
        self._straight: Straight | None = getattr(self.app, "straight", None) if plain else None
        self._call: StraightCall | None = None
        self._held: RequestHead | None = None
        self._body = b""
        self._in_use = True
        self._idle_since = 0.0
        self._server_headers: list[tuple[bytes, bytes]] | None = None
        self._server_header_count = 0
        self._server_lines = b""
        self._leaving = False

    # -- the transport's side ------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Takes what has come."""
        self._in_use = True
        super().data_received(data)
        if self._held is not None:
            self._take_the_other_way()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the call that is under way: nobody waits for it."""
        call, self._call = self._call, None
        if self._cycle_is_straight():
            self.cycle = None  # type: ignore[assignment] # as before the first request
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        if call is not None:
            call.gone()

    # -- the parser's side ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begins a request. What uvicorn prepares for one is left for those that need it."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        """Holds a request that may take the straight way, until its end."""
        if (
            self._straight is not None
            and self.url.startswith(RUN)
            and b"#" not in self.url
            and (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
            and not self.expect_100_continue
            and not self.parser.should_upgrade()
        ):
            head = read_head(self.headers)
            if not head.chunked and head.length <= STRAIGHT_BODY_BYTES:
                self._held = head
                self._body = b""
                return
        self._prepare()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Takes a part of a request's body."""
        if self._held is None:
            super().on_body(body)
        else:
            self._body += body

    def on_message_complete(self) -> None:
        """Has a whole request answered."""
        head = self._held
        if head is None:
            super().on_message_complete()
            return
        raw_path, _, query = self.url.partition(b"?")
        path = raw_path.decode("ascii")
        if "%" in path:
            path = urllib.parse.unquote(path)
        client = self.client[0] if self.client else ""
        request = Request(self.parser.get_method().decode("ascii"), path, query, head, self._body, client)
        if self._straight is not None and self._straight.take(request, self):
            self._held = None
        else:
            self._take_the_other_way()
            super().on_message_complete()

    def _take_the_other_way(self) -> None:
        """Hands what is here of a held request to uvicorn's own way."""
        self._held = None
        self._prepare()
        super().on_headers_complete()
        if self._body:
            super().on_body(self._body)

    def _prepare(self) -> None:
        """Has uvicorn prepare what it needs for a request, of which head and headers are here already."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers

    # -- the call's side (`straight.Connection`) -----------------------------------------------------------------

    def begun(self, call: StraightCall) -> None:
        """Takes note that the request has become this call."""
        call.keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        self._call = call
        self.cycle = call  # type: ignore[assignment] # what uvicorn asks of a cycle, a call has

    def answer(self, call: StraightCall, status: int, head: bytes, body: bytes) -> None:
        """Sends an answer; `head` are the lines that follow the server's own."""
        self._call = None
        call.response_complete = True
        if self.transport.is_closing():
            return
        headers = self.server_state.default_headers
        if headers is not self._server_headers or len(headers) != self._server_header_count:
            self._server_headers, self._server_header_count = headers, len(headers)
            self._server_lines = b"".join(b"%b: %b\r\n" % header for header in headers)
            self._leaving = (b"connection", b"close") in headers
        end = b"\r\n" if call.keep_alive or self._leaving else b"connection: close\r\n\r\n"
        self.transport.write(b"".join((STATUS_LINE[status], self._server_lines, head, end, body)))
        if self._leaving or not call.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def go_on(self, call: StraightCall, application: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        """Has the call answered by an ASGI application."""
        self._call = None
        call.response_complete = True
        cycle = RequestResponseCycle(
            scope=cast("HTTPScope", {"type": "http", "method": call.method}),
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=call.keep_alive,
            on_response=self.on_response_complete,
        )
        cycle.more_body = False
        if self._cycle_is_straight():
            self.cycle = cycle
        self._start_asgi_task(cycle, cast("ASGI3Application", application))

    def _cycle_is_straight(self) -> bool:
        """Tells whether the newest request on this connection became a straight call."""
        cycle: object = self.cycle
        return isinstance(cycle, StraightCall)

    # -- between two requests ------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """Goes on to the next request, or waits for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, application = self.pipeline.pop()
            self._start_asgi_task(cycle, application)
            return
        self._in_use = False
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_later(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Closes the connection when nobody has used it for long. One timer serves all its requests."""
        self.timeout_keep_alive_task = None
        if self._in_use or self.transport.is_closing():
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._look_later(left)
        else:
            self.transport.close()

    def _look_later(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _unset_keepalive_if_required(self) -> None:
        """Leaves the timer alone: when it is due, it looks whether the connection is in use."""
