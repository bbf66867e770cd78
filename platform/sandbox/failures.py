"""Why a call has no answer, and what that amounts to for its caller."""

from dataclasses import dataclass
from typing import Any, Final

from cloudserve.core.errors import Component
from cloudserve.sandbox.abc import InvocationFailed, Outcome, Reason

_STATUS: Final[dict[Reason, int]] = {
    "exception": 500,
    "load-failed": 500,
    "no-handler": 500,
    "bad-response": 502,
    "timeout": 504,
    "cpu": 504,
    "out-of-memory": 502,
    "processes": 502,
    "open-files": 502,
    "disk-full": 502,
    "inodes": 502,
    "crash": 502,
    "response-too-large": 502,
    "overloaded": 503,
    "shutdown": 503,
    "no-sandbox": 503,
    "sandbox-lost": 502,
}
_COMPONENT: Final[dict[Reason, Component]] = {
    "overloaded": "queue",
    "shutdown": "sandbox",
    "no-sandbox": "sandbox",
    "sandbox-lost": "sandbox",
}
_REPORTED: Final[dict[str, Reason]] = {
    "exception": "exception",
    "load-failed": "load-failed",
    "no-handler": "no-handler",
    "bad-response": "bad-response",
    "out-of-memory": "out-of-memory",
    "processes": "processes",
    "open-files": "open-files",
    "disk-full": "disk-full",
    "file-too-large": "disk-full",
    "inodes": "inodes",
}
"""What a worker may say of its own calls."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call has no answer. `message` is a sentence, `detail` the stack where there is one."""

    reason: Reason
    message: str
    name: str | None = None
    detail: str | None = None
    memory_kib: int = 0
    signal: int | None = None
    limit: str | None = None
    status: int | None = None
    retry_after: int | None = None


def error_of(failure: Failure, outcome: Outcome) -> InvocationFailed:
    """Returns the error that a failure is to the caller."""
    return InvocationFailed(
        failure.status or _STATUS[failure.reason],
        failure.message,
        component=_COMPONENT.get(failure.reason, "function"),
        reason=failure.reason,
        outcome=outcome,
        retry_after=failure.retry_after,
    )


def failure_of(fault: dict[str, Any]) -> Failure:
    """Returns the failure that a worker's fault stands for; nothing in it is taken on trust but its words."""
    reason = _REPORTED.get(str(fault.get("reason")), "exception")
    name = str(fault.get("name") or "")
    message = str(fault.get("message") or "")
    memory = fault.get("memoryKib")
    return Failure(
        reason,
        message if reason in ("no-handler", "bad-response") else f"{name}: {message}" if message else name,
        name=name,
        detail=str(fault.get("stack") or "") or None,
        memory_kib=memory if isinstance(memory, int) else 0,
    )
