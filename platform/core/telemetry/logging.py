"""The log: one JSON object a line, with the request it belongs to, and without secrets.

Values under names that hold credentials are replaced, and so is anything in a text that has the form of a key, a
session token or an authorization header. Records of the standard library's `logging` come out in the same form.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from cloudserve.core.telemetry.correlation import LOGGED

REDACTED: Final = "[redacted]"
_SECRET_NAMES: Final = re.compile(
    r"authorization|cookie|password|secret|token|api[-_]?key|machine[-_]?key|credential|(?:^|[-_])code$|invitation",
    re.IGNORECASE,
)
_SECRET_TEXT: Final = re.compile(r"\bcs[ski]_[\w-]{8,}|\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE | re.ASCII)


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replaces secrets in an event, in place of knowing that nobody logs one."""
    return {name: _redacted(name, value) for name, value in event.items()}


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Sends structlog's and the standard library's log to `stream` (standard error), from `level` upwards."""
    target = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(LOGGED), *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_line),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())


def _redacted(name: str, value: Any) -> Any:
    if _SECRET_NAMES.search(name):
        return REDACTED
    if isinstance(value, str):
        return _SECRET_TEXT.sub(REDACTED, value)
    if isinstance(value, Mapping):
        return {key: _redacted(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted("", item) for item in value]
    return value


def _line(event: Any, **_: Any) -> str:
    try:
        return orjson.dumps(event, default=str).decode()
    except orjson.JSONEncodeError:  # text that is no valid Unicode, such as a path of the disk
        return json.dumps(event, default=str)
