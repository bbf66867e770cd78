"""Every error of the control plane as `application/problem+json`, those of the framework included."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from cloudserve.api.middleware import render, request_id_of
from cloudserve.core.errors import FieldError, Problem, invalid, not_found
from cloudserve.core.objects.abc import ObjectsUnavailable
from cloudserve.core.store.abc import Gone, Unavailable

log = structlog.get_logger("cloudserve.api")

_REASONS = {
    400: ("bad-request", "The request can't be read."),
    404: ("not-found", "There is nothing at this address."),
    405: ("method-not-allowed", "This address does not answer that method."),
    413: ("too-large", "The request is larger than this address accepts."),
}

_LIMITS = ("max_length", "min_length", "ge", "le", "gt", "lt", "pattern", "expected", "max_digits")
_REMEDIES = {
    "missing": "Add it.",
    "extra_forbidden": "Leave it out; the API reference lists what is known.",
    "string_too_long": "Make it shorter.",
    "string_too_short": "Make it longer.",
    "too_long": "Send fewer.",
    "too_short": "Send more.",
    "literal_error": "Choose one of those.",
}


def too_many(wait_seconds: float) -> Problem:
    """Returns the 429 for someone who tries too often."""
    seconds = max(1, math.ceil(wait_seconds))
    return Problem(
        429,
        f"Too many attempts. Try again in {seconds} seconds.",
        reason="too-many-attempts",
        headers={"Retry-After": str(seconds)},
    )


def install(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Makes an application of `routers` answer problems alone, whatever went wrong but a fault of its own."""
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]

    async def answer(request: Request, error: Exception) -> Response:
        problem = _problem_of(request, error)
        if problem.status == 405:  # the framework names the methods of the first route at the address alone
            problem.headers["Allow"] = ", ".join(_methods_at(routes, request.url.path))
        return render(problem, request_id_of(request.scope))

    for kind in (Problem, HTTPException, RequestValidationError, Gone, Unavailable, ObjectsUnavailable):
        app.add_exception_handler(kind, answer)


def _methods_at(routes: Sequence[APIRoute], path: str) -> list[str]:
    """Returns the methods of an address: of the routes that match it and have the fewest parameters."""
    matching = [route for route in routes if route.path_regex.match(path)]
    fewest = min(len(route.param_convertors) for route in matching)
    methods: set[str] = set()
    for route in matching:
        if len(route.param_convertors) == fewest:
            methods |= route.methods or set()
    return sorted(methods)


def _problem_of(request: Request, error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case RequestValidationError():
            return _validation_problem(request, error.errors())
        case HTTPException():
            reason, message = _REASONS.get(error.status_code, ("failed", str(error.detail)))
            return Problem(error.status_code, message, reason=reason, headers=error.headers)
        case Gone():  # deleted by another request since this one looked it up
            return not_found("The function")
        case _:
            what = "store" if isinstance(error, Unavailable) else "object store"
            log.error("a backend is away", what=what, error=str(error), path=request.url.path)
            return Problem(
                503,
                f"The platform can't reach its {what} just now. Try again in a moment.",
                reason="unavailable",
                headers={"Retry-After": "2"},
            )


def _validation_problem(request: Request, errors: Sequence[Mapping[str, Any]]) -> Problem:
    if errors[0]["type"] == "json_invalid":
        position = errors[0]["loc"][-1]
        return Problem(400, f"The body is not valid JSON: see character {position}.", reason="malformed-json")
    if errors[0]["loc"] == ("body",) and not is_json(request.headers.get("content-type", "")):
        if errors[0]["type"] == "missing":
            return invalid(FieldError("body", "The request needs a JSON body.", remedy="Send one."))
        return unsupported_media_type("application/json")
    return invalid(*(_field_error(error) for error in errors))


def unsupported_media_type(*accepted: str) -> Problem:
    """Returns the 415 that names what is accepted."""
    return Problem(415, f"The body must come as {' or '.join(accepted)}.", reason="unsupported-media-type")


def is_json(content_type: str) -> bool:
    """Tells whether a content type is JSON."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _field_error(error: Mapping[str, Any]) -> FieldError:
    return field_error(error["loc"][1:] or error["loc"], error)


def field_error(location: Sequence[Any], error: Mapping[str, Any]) -> FieldError:
    """Returns what pydantic says of one field, as a problem names it."""
    name = ".".join(str(part) for part in location) or "body"
    context = error.get("ctx", {})
    limit = next((context[key] for key in _LIMITS if key in context), None)
    kind = str(error["type"])
    if kind == "missing":
        message = f"{name} is required."
    elif kind == "extra_forbidden":
        message = f"{name} is not known here."
    else:
        message = f"{name}: {error['msg'].removeprefix('Value error, ')}."
    return FieldError(name, message, limit, _REMEDIES.get(kind, "Correct it; the API reference has the form."))
