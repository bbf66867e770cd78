"""The one error that leaves a service: an RFC 9457 problem.

Whoever finds that a request can't be served raises `Problem`; the services render it as `application/problem+json`. A
message says what is wrong and what to do about it; it holds no secret and no path of the host.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any, Final, Literal

Component = Literal["gateway", "queue", "sandbox", "function", "api"]

MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong with the request.

    `field` is its JSON name or header, `message` a sentence, `limit` the bound that was crossed, where there is one,
    and `remedy` what to do.
    """

    field: str
    message: str
    limit: str | int | float | None = None
    remedy: str | None = None


class Problem(Exception):  # noqa: N818 - the RFC's own word
    """A request that can't be served, and why.

    Args:
        status: the HTTP status.
        message: a sentence for a person.
        reason: a stable word for a program, such as `timeout` or `name-taken`.
        component: who says so.
        errors: the fields at fault, for a 422.
        headers: what the answer carries besides, such as `Retry-After`.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        reason: str,
        component: Component = "api",
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason = reason
        self.component = component
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def document(self, request_id: str) -> dict[str, Any]:
        """Returns the body of the answer."""
        body: dict[str, Any] = {
            "type": f"urn:cloudserve:problem:{self.reason}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.message,
            "message": self.message,
            "component": self.component,
            "reason": self.reason,
            "requestId": request_id,
        }
        if self.errors:
            body["errors"] = [{k: v for k, v in asdict(error).items() if v is not None} for error in self.errors]
        return body


def invalid(*errors: FieldError) -> Problem:
    """Returns the 422 that names each field at fault, its limit and the remedy."""
    return Problem(422, " ".join(error.message for error in errors), reason="invalid", errors=errors)


def not_found(what: str) -> Problem:
    """Returns the 404 for a thing that does not exist, or is another's: nobody can tell which."""
    return Problem(404, f"{what} was not found.", reason="not-found")
