"""The OpenAPI document: what FastAPI finds, and what it can't know: problems, scopes and bodies of two kinds."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from cloudserve.api.bodies import Body, View
from cloudserve.api.deps import Requires
from cloudserve.api.middleware import SAFE_METHODS
from cloudserve.core.errors import MEDIA_TYPE

_REF: Final = "#/components/schemas/{model}"
_DESCRIPTION: Final = """
Names are in camelCase, ids are `_id`, times are UTC. Sign in with a session's cookie or with an API key; what is
another owner's answers 404. Every error is `application/problem+json`. A request that changes something and comes with
a cookie must carry the platform's own `Origin`.
"""
_HEADERS: Final = {"x-request-id": {"description": "Finds the request in the log.", "schema": {"type": "string"}}}
_RETRY_HEADERS: Final = {
    "Retry-After": {"description": "Seconds until it is worth trying again.", "schema": {"type": "integer"}}
}


class ProblemField(View):
    """One thing that is wrong with a request."""

    field: str = Field(examples=["name"])
    message: str
    limit: str | int | float | None = None
    remedy: str | None = None


class ProblemDocument(View):
    """An error (RFC 9457). `reason` is a stable word for programs, `requestId` finds it in the log."""

    type: str = Field(examples=["urn:cloudserve:problem:not-found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str
    message: str = Field(examples=["The function was not found."])
    component: str = Field(examples=["api"])
    reason: str = Field(examples=["not-found"])
    request_id: str
    errors: list[ProblemField] = Field(default_factory=list)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns the `responses` of a route for the problems that are its own; the common ones are added to each."""
    return {status: {"description": HTTPStatus(status).phrase} for status in statuses}


def upload_body(json: type[Body], options: type[Body], *, required: bool = True) -> dict[str, Any]:
    """Returns the `openapi_extra` of a route that takes JSON, or multipart with an archive."""
    form = {
        "type": "object",
        "required": ["archive"],
        "additionalProperties": False,
        "properties": {
            "archive": {"type": "string", "format": "binary", "description": "A .tar.gz, .tgz, .tar or .zip."},
            "options": {"$ref": _REF.format(model=options.__name__)},
        },
    }
    return {
        "requestBody": {
            "required": required,
            "content": {
                "application/json": {"schema": {"$ref": _REF.format(model=json.__name__)}},
                "multipart/form-data": {
                    "schema": form,
                    "encoding": {"options": {"contentType": "application/json"}},
                },
            },
        }
    }


def document(app: FastAPI, routers: Sequence[APIRouter], models: Sequence[type[BaseModel]]) -> dict[str, Any]:
    """Returns the OpenAPI document of an application that is made of `routers`.

    `models` are those of bodies that routes read by hand.
    """
    found = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=_DESCRIPTION.strip(),
        routes=app.routes,
        servers=[{"url": "/"}],
    )
    schemas: dict[str, Any] = found["components"]["schemas"]
    read_by_hand: list[type[BaseModel]] = [ProblemDocument, *models]
    _, unseen = models_json_schema([(model, "validation") for model in read_by_hand], ref_template=_REF)
    schemas |= {name: schema for name, schema in unseen["$defs"].items() if name not in schemas}
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for route in _routes(routers):
        for method in route.methods or ():
            _complete(found["paths"][route.path_format][method.lower()], route, changes=method not in SAFE_METHODS)
    return found


def _complete(operation: dict[str, Any], route: APIRoute, *, changes: bool) -> None:
    scope = scope_of(route)
    if scope is not None:
        operation["description"] += f"\n\nNeeds the scope `{scope}`."
    responses = operation["responses"]
    for status in sorted(
        {int(code) for code in responses if int(code) >= 400} | _common_statuses(operation, scope, changes=changes)
    ):
        if route.responses.get(status, {}).get("model") is None:
            responses[str(status)] = _problem_response(status)
    for response in responses.values():
        response.setdefault("headers", {}).update(_HEADERS)


def _common_statuses(operation: Mapping[str, Any], scope: str | None, *, changes: bool) -> set[int]:
    statuses = {500, 503}
    if "security" in operation:
        statuses.add(401)
    if scope is not None or changes:
        statuses.add(403)
    parameters = operation.get("parameters", [])
    if any(parameter["in"] == "path" for parameter in parameters):
        statuses.add(404)
    if any(parameter["in"] in {"path", "query"} for parameter in parameters):
        statuses.add(422)
    if "requestBody" in operation:
        statuses |= {400, 413, 415, 422}
    return statuses


def _problem_response(status: int) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model=ProblemDocument.__name__)}}},
    }
    if status in {429, 503}:
        response["headers"] = dict(_RETRY_HEADERS)
    return response


def scope_of(route: APIRoute) -> str | None:
    """Returns the scope that a route asks for, None when it needs no sign-in or the machine key."""
    pending = [route.dependant]
    while pending:
        dependant = pending.pop()
        if isinstance(dependant.call, Requires):
            return dependant.call.scope
        pending.extend(dependant.dependencies)
    return None


def _routes(routers: Iterable[APIRouter]) -> Iterator[APIRoute]:
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute):
                yield route
