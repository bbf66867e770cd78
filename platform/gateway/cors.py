"""Cross-origin rules (https://fetch.spec.whatwg.org/#http-cors-protocol) of functions that have some.

The gateway answers preflights itself, and its rules take the place of what the function says: a function with rules
has one source of them. Credentials are allowed only to origins that are listed by name, never to `*`.
"""

from typing import Final

from cloudserve.core.models.function import Cors
from cloudserve.gateway.errors import RawHeaders
from cloudserve.sandbox.abc import Headers

PREFIX: Final = b"access-control-"
_VARY: Final = (b"vary", b"Origin")
_EXPOSED: Final = (b"access-control-expose-headers", b"x-cloudserve-execution-id, server-timing")


class CorsRules:
    """The rules of one function, made ready for bytes."""

    def __init__(self, cors: Cors) -> None:
        self._any = "*" in cors.origins
        self._origins = frozenset(origin.rstrip("/").encode() for origin in cors.origins)
        self._methods = ", ".join(cors.methods).encode()
        self._any_header = "*" in cors.headers
        self._headers = ", ".join(header for header in cors.headers if header != "*").encode()
        self._credentials = cors.credentials
        self._max_age = str(cors.max_age_seconds).encode()

    def on_answer(self, origin: bytes | None) -> RawHeaders:
        """Returns what an answer carries for a caller from `origin`."""
        if origin in self._origins:
            headers = [(b"access-control-allow-origin", origin or b"*"), _VARY, _EXPOSED]
            if self._credentials:
                headers.append((b"access-control-allow-credentials", b"true"))
            return headers
        if self._any:
            return [(b"access-control-allow-origin", b"*"), _EXPOSED]
        return [_VARY]

    def on_preflight(self, origin: bytes, request: Headers) -> RawHeaders:
        """Returns the headers of the answer to a preflight; those of a refusal just allow nothing."""
        headers = self.on_answer(origin)
        if not self._any and origin not in self._origins:
            return headers
        asked = next((value for name, value in request if name == b"access-control-request-headers"), b"")
        allowed = asked if self._any_header else self._headers
        headers.append((b"access-control-allow-methods", self._methods))
        if allowed:
            headers.append((b"access-control-allow-headers", allowed))
        headers.append((b"access-control-max-age", self._max_age))
        return headers


def is_preflight(method: str, request: Headers) -> bool:
    """Tells whether a request that has an origin is a preflight."""
    return method == "OPTIONS" and any(name == b"access-control-request-method" for name, _ in request)
