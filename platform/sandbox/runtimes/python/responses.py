"""What a returned value becomes as an HTTP answer.

| value                                            | answer                                                       |
|--------------------------------------------------|--------------------------------------------------------------|
| dict with `statusCode`                           | that status, `headers`, `cookies`, `body`, `isBase64Encoded` |
| `str`                                            | `text/html` if it begins like an HTML document, else `text/plain` |
| `bytes`, `bytearray`, `memoryview`               | `application/octet-stream`                                   |
| generator, iterator, async generator             | streamed, `application/octet-stream`; `str` items as UTF-8   |
| `None`                                           | 204                                                          |
| all else                                         | JSON, with dataclasses, dates, UUIDs, sets, decimals, enums  |

What fits none of these is a `BadResponse`, which says why.
"""

import base64
import binascii
import dataclasses
import datetime as dt
import decimal
import enum
import json
import pathlib
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

Body = bytes | Iterator[Any] | AsyncIterator[Any]

JSON_TYPE: Final = "application/json"
TEXT_TYPE: Final = "text/plain; charset=utf-8"
HTML_TYPE: Final = "text/html; charset=utf-8"
BINARY_TYPE: Final = "application/octet-stream"

_HTML_STARTS: Final = ("<!doctype html", "<html")
_BODILESS: Final = frozenset((204, 205, 304))


class BadResponse(Exception):  # noqa: N818 - reads as what it is
    """A returned value that can't be an HTTP answer."""


@dataclasses.dataclass(slots=True)
class Response:
    """An answer, ready to be sent."""

    status: int
    headers: list[tuple[str, str]]
    body: Body


def respond(value: Any) -> Response:
    """Returns the answer that a value stands for. Raises `BadResponse`."""
    if value is None:
        return Response(204, [], b"")
    if isinstance(value, dict) and "statusCode" in value:
        return from_parts(value)
    body, content_type = _body_of(value)
    return Response(200, [("content-type", content_type)], body)


def from_parts(parts: Mapping[str, Any]) -> Response:
    """Returns the answer of `{statusCode, headers, cookies, body, isBase64Encoded}`. Raises `BadResponse`."""
    status = _status_of(parts["statusCode"])
    headers = _headers_of(parts.get("headers") or {})
    headers += _headers_of(parts.get("multiValueHeaders") or {})
    headers += [("set-cookie", str(cookie)) for cookie in parts.get("cookies") or ()]
    value = parts.get("body")
    content_type: str | None = None
    body: Body
    if parts.get("isBase64Encoded"):
        if not isinstance(value, str | bytes):
            raise BadResponse("isBase64Encoded is set, so `body` must be a base64 string.")
        try:
            body = base64.b64decode(value)
        except (binascii.Error, ValueError) as error:
            raise BadResponse(f"isBase64Encoded is set, but `body` is not base64: {error}.") from error
        content_type = BINARY_TYPE
    elif value is None:
        body = b""
    else:
        body, content_type = _body_of(value)
    if status in _BODILESS:
        body = b""
    elif content_type is not None and not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", content_type))
    return Response(status, headers, body)


def _status_of(value: Any) -> int:
    try:
        status = int(value)
    except (TypeError, ValueError):
        status = 0
    if isinstance(value, bool) or not 200 <= status <= 599:
        raise BadResponse(f"statusCode must be a number from 200 to 599; it is {value!r}.")
    return status


def _headers_of(headers: Any) -> list[tuple[str, str]]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    result: list[tuple[str, str]] = []
    try:
        for name, value in pairs:
            values = value if isinstance(value, list | tuple) else [value]
            result += [(str(name).lower(), _header_text(item)) for item in values]
    except (TypeError, ValueError) as error:
        raise BadResponse("headers must be a dict of names and values, or a list of pairs.") from error
    return result


def _header_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _body_of(value: Any) -> tuple[Body, str]:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass"), HTML_TYPE if _is_html(value) else TEXT_TYPE
    if isinstance(value, bytes):
        return value, BINARY_TYPE
    if isinstance(value, bytearray | memoryview):
        return bytes(value), BINARY_TYPE
    if isinstance(value, Iterator | AsyncIterator):
        return value, BINARY_TYPE
    if hasattr(value, "read") and callable(value.read):
        return iter(lambda: value.read(65536), b""), BINARY_TYPE
    return to_json(value), JSON_TYPE


def _is_html(text: str) -> bool:
    return text.lstrip()[:14].lower().startswith(_HTML_STARTS)


def to_json(value: Any) -> bytes:
    """Returns a value as JSON. Raises `BadResponse` that names what has no JSON form."""
    try:
        return _ENCODER.encode(value).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError, RecursionError) as error:
        raise BadResponse(f"The returned value can't be written as JSON: {error}.") from error


def _plain(value: Any) -> Any:  # noqa: PLR0911 - one line for each type
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, uuid.UUID | pathlib.PurePath):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no JSON form")


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain)
