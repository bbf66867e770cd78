"""The OpenAPI document names every route, what it takes, what it answers and every problem."""

from collections.abc import Iterator
from typing import Any

import pytest

from cloudserve.api.app import ROUTERS
from tests.unit.api.support import Platform


@pytest.fixture
def document(platform: Platform) -> dict[str, Any]:
    """The document of a control plane."""
    return platform.app.openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields the method, path and operation of each route."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


async def test_it_is_served_without_a_sign_in(platform: Platform, document: dict[str, Any]) -> None:
    """For clients to be made from it."""
    answer = await platform.client(origin=None).get("/api/openapi.json")
    assert answer.json() == document


def test_every_route_is_in_it(document: dict[str, Any]) -> None:
    """With a summary, a description, a tag and a name of its own."""
    named = {(method.upper(), path) for method, path, _ in operations(document)}
    routes = {(method, route.path) for router in ROUTERS for route in router.routes for method in route.methods}  # type: ignore[attr-defined]
    assert named == routes
    for _, _, operation in operations(document):
        assert operation["summary"]
        assert operation["description"].strip().rstrip("`").endswith((".", "deploy", "read", "admin"))
        assert operation["tags"]
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(ids)) == len(ids)


def test_every_problem_is_in_it(document: dict[str, Any]) -> None:
    """With its form: of what a route needs (a sign-in, an id, a body) follows what can go wrong."""
    for method, path, operation in operations(document):
        responses = operation["responses"]
        expected = {"500", "503"}
        expected |= {"401"} if "security" in operation else set()
        expected |= {"404"} if "{" in path else set()
        expected |= {"400", "413", "415", "422"} if "requestBody" in operation else set()
        expected |= {"403"} if method != "get" else set()
        assert expected <= set(responses), f"{method} {path}"
        for status, response in responses.items():
            if int(status) >= 400 and path != "/readyz":
                schema = response["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ProblemDocument"}
            assert "x-request-id" in response["headers"]


def test_every_answer_has_a_form(document: dict[str, Any]) -> None:
    """No route answers with just anything."""
    for method, path, operation in operations(document):
        good = [response for status, response in operation["responses"].items() if status.startswith("2")]
        assert len(good) == 1
        if path == "/":  # for people, in plain text
            assert set(good[0]["content"]) == {"text/plain"}
            continue
        assert "$ref" in good[0]["content"]["application/json"]["schema"], f"{method} {path}"


def test_every_body_refuses_what_it_does_not_know(document: dict[str, Any]) -> None:
    """No mass assignment: a body's names are all listed, and no other is taken."""
    schemas = document["components"]["schemas"]
    for _, path, operation in operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            schema = content["schema"]
            schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
            assert schema["additionalProperties"] is False, path
            assert not {"ownerId", "isAdmin", "status", "stats", "createdAt"} & set(schema["properties"]), path


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """Also those of bodies that are read by hand."""
    schemas = document["components"]["schemas"]

    def references(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                yield part["$ref"]
            for value in part.values():
                yield from references(value)
        elif isinstance(part, list):
            for value in part:
                yield from references(value)

    missing = {ref for ref in references(document) if ref.rpartition("/")[2] not in schemas}
    assert not missing


def test_names_are_in_camel_case(document: dict[str, Any]) -> None:
    """And ids are `_id`."""
    for name, schema in document["components"]["schemas"].items():
        for field in schema.get("properties", {}):
            assert field == "_id" or ("_" not in field and field[0].islower()), f"{name}.{field}"
