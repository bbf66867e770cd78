"""Request bodies, by their content type.

| content type                        | body                                                          |
|-------------------------------------|---------------------------------------------------------------|
| (nothing sent)                      | `None`                                                        |
| `application/json`, `…+json`        | the value                                                     |
| `application/x-www-form-urlencoded` | dict; a field that came more than once is a list              |
| `multipart/form-data`               | dict of fields, and of files as `File`                        |
| `text/*`, XML, JavaScript           | `str`                                                         |
| all else                            | `bytes`; without a content type, `str` when it is UTF-8       |

A body that is not what its type says comes as text (or bytes where it is no text), never as an error: the function
decides what to answer.
"""

import json
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, Final
from urllib.parse import parse_qsl

_TEXT_TYPES: Final = frozenset(
    ("application/xml", "application/javascript", "application/graphql", "application/x-ndjson", "image/svg+xml")
)


@dataclass(slots=True)
class File:
    """A file of a multipart form."""

    filename: str
    content_type: str
    data: bytes = field(repr=False)

    def __getitem__(self, name: str) -> Any:
        if name in ("filename", "content_type", "data"):
            return getattr(self, name)
        raise KeyError(name)


def parse_body(raw: bytes, content_type: str) -> Any:  # noqa: PLR0911 - one line for each type
    """Returns the body as its type says."""
    if not raw:
        return None
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == "application/json" or kind.endswith("+json"):
            return json.loads(raw)
        if kind == "application/x-www-form-urlencoded":
            return collect(parse_qsl(raw.decode("utf-8"), keep_blank_values=True))
        if kind == "multipart/form-data":
            return _parse_multipart(raw, content_type)
        if not kind or kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith("+xml"):
            return raw.decode(_charset(content_type))
    except (ValueError, LookupError, RecursionError):
        return _text_or_bytes(raw)
    return raw


def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns a dict of pairs; a name that comes more than once gets a list."""
    result: dict[str, Any] = {}
    repeated: set[str] = set()
    for name, value in pairs:
        if name in repeated:
            result[name].append(value)
        elif name in result:
            result[name] = [result[name], value]
            repeated.add(name)
        else:
            result[name] = value
    return result


def is_text(content_type: str) -> bool:
    """Tells whether a body of this type is text."""
    kind = content_type.partition(";")[0].strip().lower()
    return (
        kind.startswith("text/")
        or kind in _TEXT_TYPES
        or kind in ("application/json", "application/x-www-form-urlencoded")
        or kind.endswith(("+json", "+xml"))
    )


def _text_or_bytes(raw: bytes) -> str | bytes:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw


def _message(content_type: str) -> Message:
    message = Message()
    message["content-type"] = content_type
    return message


def _charset(content_type: str) -> str:
    if "charset" not in content_type:
        return "utf-8"
    return _message(content_type).get_content_charset("utf-8")


def _parse_multipart(raw: bytes, content_type: str) -> dict[str, Any]:
    """Reads a form as RFC 7578 has it. Raises ValueError when it is none."""
    boundary = _message(content_type).get_boundary()
    if not boundary:
        raise ValueError("no boundary")
    delimiter = b"--" + boundary.encode("latin-1")
    first, *sections = (b"\r\n" + raw).split(b"\r\n" + delimiter)
    if first.strip() or not sections:
        raise ValueError("no delimiter at the start")
    pairs: list[tuple[str, Any]] = []
    for section in sections:
        if section.startswith(b"--"):
            return collect(pairs)
        head, separator, data = section.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if not separator:
            raise ValueError("a part without a head")
        pairs.append(_part(head, data))
    raise ValueError("the form does not end")


def _part(head: bytes, data: bytes) -> tuple[str, Any]:
    message = Message()
    for line in head.decode("utf-8").split("\r\n"):
        field_name, _, value = line.partition(":")
        message[field_name.strip()] = value.strip()
    name = message.get_param("name", header="content-disposition")
    if not isinstance(name, str):
        raise ValueError("a part without a name")
    filename = message.get_param("filename", header="content-disposition")
    if not isinstance(filename, str):
        return name, data.decode("utf-8")
    return name, File(filename, message.get("content-type", "application/octet-stream"), data)
