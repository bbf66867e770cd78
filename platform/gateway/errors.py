"""What a caller is told when a call gets no answer: an RFC 9457 problem.

Whoever calls with a key of the function's owner reads what the function said; anyone else reads what happened, but no
word that came out of the function, because a message or a stack may hold what only its owner should see.
"""

import math
from typing import Final

import orjson

from cloudserve.core.errors import MEDIA_TYPE, Problem
from cloudserve.core.objects.abc import ObjectsUnavailable
from cloudserve.core.store.abc import StoreError
from cloudserve.sandbox.abc import InvocationFailed, Reason

RawHeaders = list[tuple[bytes, bytes]]

_PUBLIC: Final[dict[Reason, str]] = {
    "exception": "The function raised an exception.",
    "load-failed": "The function could not be loaded.",
    "no-handler": "The function has no handler that can be called.",
    "bad-response": "The function returned something that is no HTTP answer.",
    "timeout": "The function did not answer in time.",
    "out-of-memory": "The function ran out of memory.",
    "cpu": "The function used up its processor time.",
    "processes": "The function started too many processes or threads.",
    "open-files": "The function opened too many files.",
    "disk-full": "The function filled its disk.",
    "inodes": "The function made too many files.",
    "crash": "The function's process ended before it had answered.",
    "response-too-large": "The function's answer is larger than this platform allows.",
    "overloaded": "No worker became free in time. Try again later.",
    "shutdown": "The platform is restarting. Try again at once.",
    "no-sandbox": "No host that runs functions can be reached just now. Try again shortly.",
    "sandbox-lost": "The host that ran the function was lost before it had answered.",
}


def unknown_function(owner: str, name: str) -> Problem:
    """Returns the 404 of a function that does not exist, or is another's: nobody can tell which."""
    return Problem(404, f"There is no function {owner}/{name}.", reason="not-found", component="gateway")


def too_large(limit_mb: int) -> Problem:
    """Returns the 413 that names the limit."""
    return Problem(
        413,
        f"The request body is larger than {limit_mb} MiB. Send less, or raise the setting maxBodyMb.",
        reason="body-too-large",
        component="gateway",
        headers={"Connection": "close"},
    )


def unavailable(what: str) -> Problem:
    """Returns the 503 of a gateway that lacks what it needs to answer."""
    return Problem(503, what, reason="unavailable", component="gateway", headers={"Retry-After": "2"})


def not_loaded(error: Exception) -> Problem:
    """Returns the 503 of a function that this gateway does not have in memory and can't load just now."""
    match error:
        case StoreError():
            return unavailable(
                "The store can't be reached, and this gateway does not know the function. Try again soon."
            )
        case ObjectsUnavailable():
            return unavailable(
                "The function's bundle is not on this gateway, and the object store can't be reached. Try again soon."
            )
        case _:
            return unavailable("The function's bundle or secrets can't be read. If this lasts, deploy it again.")


def rate_limited(wait_seconds: float) -> Problem:
    """Returns the 429 of a caller who is too fast."""
    seconds = max(1, math.ceil(wait_seconds))
    return Problem(
        429,
        f"Too many calls. Try again in {seconds} s.",
        reason="rate-limited",
        component="gateway",
        headers={"Retry-After": str(seconds)},
    )


def internal_error() -> Problem:
    """Returns the 500 of a bug in the gateway."""
    return Problem(500, "The gateway failed.", reason="internal", component="gateway")


def of_failure(failure: InvocationFailed, *, to_owner: bool) -> Problem:
    """Returns what a caller is told of a call that the sandbox could not answer."""
    headers = {} if failure.retry_after is None else {"Retry-After": str(failure.retry_after)}
    message = failure.message if to_owner else _PUBLIC[failure.reason]
    return Problem(failure.status, message, reason=failure.reason, component=failure.component, headers=headers)


def render(problem: Problem, request_id: str) -> tuple[RawHeaders, bytes]:
    """Returns the headers and the body of a problem's answer."""
    body = orjson.dumps(problem.document(request_id))
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    return headers, body
