"""The envelope of the original CloudServe, for callers that ask for it with `Accept`.

`{success, result, logs, memoryUsage, error}`: `result` is the body as JSON where it is JSON, else as text, else in
base 64. Logs and the message of an error are for the owner's key alone; anyone else gets none.
"""

import base64
from typing import Any, Final

import orjson

from cloudserve.gateway.errors import RawHeaders
from cloudserve.gateway.headers import ENVELOPE_TYPE
from cloudserve.gateway.record import time_of
from cloudserve.sandbox.abc import Headers, Outcome

HEADERS: Final[RawHeaders] = [(b"content-type", ENVELOPE_TYPE), (b"cache-control", b"no-store")]


def wrap(headers: Headers, body: bytes, outcome: Outcome, *, to_owner: bool) -> bytes:
    """Returns the envelope of an answer."""
    return _render(_result(headers, body), outcome, outcome.error if to_owner else None, to_owner=to_owner)


def wrap_failure(outcome: Outcome, message: str, *, to_owner: bool) -> bytes:
    """Returns the envelope of a call that failed."""
    return _render(None, outcome, message, to_owner=to_owner)


def _render(result: Any, outcome: Outcome, error: str | None, *, to_owner: bool) -> bytes:
    logs = [
        {"level": entry.level, "message": entry.message, "timestamp": time_of(entry.time)} for entry in outcome.logs
    ]
    document = {
        "success": outcome.status == "success",
        "result": result,
        "logs": logs if to_owner else [],
        "memoryUsage": outcome.memory_mb,
        "error": error,
    }
    return orjson.dumps(document, option=orjson.OPT_UTC_Z)


def _result(headers: Headers, body: bytes) -> Any:
    if not body:
        return None
    kind = next((value for name, value in headers if name.lower() == b"content-type"), b"").partition(b";")[0]
    if kind.strip().endswith((b"/json", b"+json")):
        try:
            return orjson.loads(body)
        except ValueError:
            pass  # it calls itself JSON and is none: as text, then
    try:
        return body.decode()
    except UnicodeDecodeError:
        return base64.b64encode(body).decode()
