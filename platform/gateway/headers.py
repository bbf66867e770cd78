"""Which headers pass: from the caller to the function, and from the function to the caller.

Guarantees
- A platform credential reaches no function: not as `api-key`, in no `x-api-key`, `Authorization` or cookie.
- Hop-by-hop headers (RFC 9110, section 7.6.1) end here, in both directions, with those that `Connection` names.
- A function speaks for its own answer alone: what would speak for the whole origin it shares with other functions, such
  as `Service-Worker-Allowed` and `Clear-Site-Data`, is dropped.

All of it is one pass over the headers, in bytes; a header that passes is the very tuple that came in.
"""

from dataclasses import dataclass
from typing import Final

from cloudserve.core.auth.tokens import KEY_PREFIX, SESSION_PREFIX
from cloudserve.sandbox.abc import Headers

ENVELOPE_TYPE: Final = b"application/vnd.cloudserve.result+json"

_KEY_PREFIX: Final = KEY_PREFIX.encode()
_SESSION_PREFIX: Final = SESSION_PREFIX.encode()

_HOP_BY_HOP: Final = frozenset(
    [
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    ]
)
_EXAMINED: Final = _HOP_BY_HOP | {
    b"accept",
    b"api-key",
    b"authorization",
    b"content-length",
    b"cookie",
    b"expect",
    b"origin",
    b"x-api-key",
}
_ORIGIN_WIDE: Final = frozenset([b"service-worker-allowed", b"clear-site-data", b"strict-transport-security"])
_OURS: Final = frozenset([b"x-cloudserve-execution-id", b"date", b"server"])
_NEVER_ANSWERED: Final = _HOP_BY_HOP | _ORIGIN_WIDE | _OURS


def carries_credential(value: bytes) -> bool:
    """Tells whether a header value holds a key or session of the platform, wherever in it."""
    return _KEY_PREFIX in value or _SESSION_PREFIX in value


@dataclass(slots=True)
class RequestHead:
    """What the gateway needs of a request's headers, and `passed`: those that the function gets.

    `credential` is the text of the key that came with the call, b"" when something came that can't be one. `length` is
    -1 when the request does not tell it.
    """

    passed: list[tuple[bytes, bytes]]
    credential: bytes | None = None
    origin: bytes | None = None
    length: int = -1
    chunked: bool = False
    envelope: bool = False
    ended: frozenset[bytes] = frozenset()


def read_head(headers: Headers) -> RequestHead:
    """Reads and filters a request's headers, whose names are in lower case, as ASGI has them."""
    passed: list[tuple[bytes, bytes]] = []
    head = RequestHead(passed)
    credential: bytes | None = None
    for header in headers:
        name, value = header
        if name not in _EXAMINED:
            passed.append(header)
        elif name == b"api-key":
            credential = _better(credential, value.strip())
        elif name in (b"x-api-key", b"authorization"):
            if carries_credential(value):
                credential = _better(credential, value.strip().rpartition(b" ")[2])
            else:
                passed.append(header)
        elif name == b"cookie":
            passed.extend((name, kept) for kept in [_without_sessions(value)] if kept)
        else:
            _examine(head, name, value)
            if name not in _HOP_BY_HOP:
                passed.append(header)
    head.credential = credential
    if head.ended:
        head.passed = [header for header in passed if header[0] not in head.ended]
    return head


def _better(one: bytes | None, other: bytes) -> bytes:
    """Returns the first that can be a key, b"" when neither can."""
    if one:
        return one
    return other if other.startswith(_KEY_PREFIX) else b""


def _examine(head: RequestHead, name: bytes, value: bytes) -> None:
    if name == b"content-length":
        head.length = int(value)
    elif name == b"accept":
        head.envelope = head.envelope or ENVELOPE_TYPE in value
    elif name == b"origin":
        head.origin = value
    elif name == b"transfer-encoding":
        head.chunked = True
    elif name == b"connection":
        head.ended |= _named_by(value)


def _named_by(connection: bytes) -> frozenset[bytes]:
    """Returns what a Connection header names besides the usual options."""
    return frozenset(option.strip().lower() for option in connection.split(b",")) - {b"close", b"keep-alive", b""}


def _without_sessions(cookies: bytes) -> bytes:
    if not carries_credential(cookies):
        return cookies
    return b"; ".join(pair for part in cookies.split(b";") if (pair := part.strip()) and not carries_credential(pair))


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """What an origin adds to and takes from the answers of functions.

    `dropped` are names in lower case, `dropped_whole` those of an answer whose length is known here; `added` comes with
    every answer, refusals too.
    """

    dropped: frozenset[bytes]
    dropped_whole: frozenset[bytes]
    added: tuple[tuple[bytes, bytes], ...] = ()

    @classmethod
    def for_functions(cls, *, shares_host: bool) -> "AnswerRules":
        """Returns the rules of the functions' origin; where it shares its host with the platform, cookies end here."""
        return cls._dropping([b"set-cookie"] if shares_host else [])

    @classmethod
    def for_platform(cls) -> "AnswerRules":
        """Returns the rules of `/run` on the platform's origin: no script runs, no cookie is set."""
        policy = b"content-security-policy"
        return cls._dropping([b"set-cookie", policy], (policy, b"sandbox"))

    @classmethod
    def _dropping(cls, names: list[bytes], *added: tuple[bytes, bytes]) -> "AnswerRules":
        dropped = _NEVER_ANSWERED.union(names)
        return cls(dropped, dropped | {b"content-length"}, added)
