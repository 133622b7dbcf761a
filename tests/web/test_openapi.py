"""The OpenAPI document: valid as far as its own schema goes, and complete about the table of routes."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.web.house import House

from privyseal.web import problem
from privyseal.web.app import ROUTES, Route, openapi_document


@functools.cache
def document() -> dict[str, Any]:
    """Return the document, made once a test asks for it: to make it takes seconds."""
    found: dict[str, Any] = json.loads(openapi_document())
    return found


def operation(route: Route) -> dict[str, Any]:
    """Find a route in the document."""
    found: dict[str, Any] = document()["paths"][re.sub(r":[a-z]+\}", "}", route.path)][route.method.lower()]
    return found


def references(node: Any) -> Iterator[str]:
    """List every ``$ref`` below a node."""
    if isinstance(node, dict):
        yield from (value for name, value in node.items() if name == "$ref")
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_it_is_an_openapi_3_1_document(shared_house: House) -> None:
    """What the specification requires of the root, and it is served to anybody."""
    answered = shared_house.client.get("/v1/openapi.json")
    assert answered.headers["content-type"] == "application/json"
    assert answered.json() == document()
    assert re.fullmatch(r"3\.1\.\d+", document()["openapi"])
    assert document()["info"]["title"] and document()["info"]["version"]


def test_every_reference_leads_somewhere() -> None:
    """And every component is in use or part of one that is."""
    schemas = {f"#/components/schemas/{name}" for name in document()["components"]["schemas"]}
    assert set(references(document())) <= schemas


def test_it_lists_exactly_the_table_of_routes() -> None:
    """Nothing hidden, nothing invented."""
    listed = {(method.upper(), path) for path, item in document()["paths"].items() for method in item}
    assert listed == {(route.method, re.sub(r":[a-z]+\}", "}", route.path)) for route in ROUTES}
    ids = [operation(route)["operationId"] for route in ROUTES]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_refusal_is_a_problem_document(route: Route) -> None:
    """Each status from 400 on has that media type and schema; bodies can be malformed, credentials missing."""
    responses = operation(route)["responses"]
    assert {"400", "404", "405", "500"} <= set(responses)
    for status, response in responses.items():
        if int(status) >= 400:
            assert response["content"] == {problem.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
            assert response["description"]
    assert (route.admits != "anybody") == ("security" in operation(route))
    in_its_body = route.path == "/v1/login/token"  # the credential is a code
    assert ("401" in responses) == (route.admits != "anybody" or in_its_body)
    if route.method == "POST":
        assert {"408", "413", "415"} <= set(responses)
    assert str(route.success[0]) in responses


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_parameter_of_a_path_is_described(route: Route) -> None:
    """As required, and with nothing left over."""
    named = {p["name"] for p in operation(route).get("parameters", ()) if p["in"] == "path" and p["required"]}
    assert named == set(re.findall(r"\{([a-z_]+):", route.path))


def test_bodies_are_the_nouns_themselves() -> None:
    """Unknown fields refused, octets in base64, times as RFC 3339, and an Idempotency-Key required."""
    submit = document()["paths"]["/v1/{subscriber}/requests"]["post"]
    body = submit["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/SigningRequest"} and submit["requestBody"]["required"]
    schemas = document()["components"]["schemas"]
    for name in ("SigningRequest", "Described", "Options", "Approval"):
        assert schemas[name]["additionalProperties"] is False
    assert schemas["Described"]["properties"]["digest"] == {"type": "string", "contentEncoding": "base64"}
    assert schemas["SigningRequest"]["properties"]["expires_at"] == {"type": "string", "format": "date-time"}
    [key] = [p for p in submit["parameters"] if p["name"] == "Idempotency-Key"]
    assert key["required"] is True and key["in"] == "header"


def test_what_is_answered_is_what_is_described(shared_house: House) -> None:
    """A released request has exactly the members of its schema, and so has a problem."""
    schemas = document()["components"]["schemas"]
    released = shared_house.post(shared_house.request()).json()
    assert set(released) == set(schemas["RequestView"]["properties"])
    refused = shared_house.client.get("/nowhere").json()
    assert set(refused) == set(schemas["Problem"]["properties"])
