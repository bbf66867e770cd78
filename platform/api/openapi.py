"""The OpenAPI document: what FastAPI finds, and what it can't know: problems, scopes and bodies of two kinds."""

from http import HTTPStatus
from typing import Any, Final

from pydantic import Field

from cloudserve.api.bodies import Body, View

_REF: Final = "#/components/schemas/{model}"


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
