"""What ties the log lines of several services to one request: its id and its trace, as its caller sent them on.

- `X-Request-Id` is taken from anybody, since it opens nothing and decides nothing, but only in a form that can't spoil
  a log: 8 to 128 letters, digits, dots, underscores and hyphens.
- `traceparent` is that of W3C Trace Context (https://www.w3.org/TR/trace-context/#traceparent-header). It is passed on
  as it came, with or without the extra `otel`; the trace's id is in the log lines.
"""

import re
from collections.abc import Iterable
from typing import Final

LOGGED: Final = ("requestId", "executionId", "traceId")
"""The names under which log lines carry them."""

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,127}", re.ASCII)
# Versions above 00 may have more behind the flags; ff is forbidden, and so are ids of zeros alone.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?"
)


def request_id(given: str) -> str | None:
    """Returns the id that a caller sent, None when it has not the form of one."""
    return given if _REQUEST_ID.fullmatch(given) else None


def trace_id(traceparent: str) -> str | None:
    """Returns the trace's id, None when the header is not valid."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None or (found["version"] == "00" and found["more"]):
        return None
    return found["trace"]


def correlation(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Returns what a request's headers, whose names are in lower case, give a log line: `requestId`, `traceId`."""
    found = {}
    for name, value in headers:
        if name == b"x-request-id" and (known := request_id(value.decode("latin-1"))):
            found["requestId"] = known
        elif name == b"traceparent" and (trace := trace_id(value.decode("latin-1"))):
            found["traceId"] = trace
    return found
