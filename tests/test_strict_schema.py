"""Schemas for the answer, held to the rules of `strict` before they are sent."""

from __future__ import annotations

from typing import Any

import pytest

from shared.strict_schema import strict_problem
from tests.conftest import App


def asking(schema: dict[str, Any], **described: Any) -> dict[str, Any]:
    asked = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema, **described}}
    return {"messages": [{"role": "user", "content": "Hello"}], "response_format": asked}


def closed(**properties: Any) -> dict[str, Any]:
    """A schema as `strict` wants it."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


OPEN: dict[str, Any] = {"type": "object", "properties": {}}
PARTLY: dict[str, Any] = {**closed(a={}, b={}), "required": ["a"]}


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({}, 'schema must be of type "object"'),
        ({"type": "array", "items": closed()}, 'schema must be of type "object"'),
        (OPEN, "schema must have additionalProperties: false"),
        (PARTLY, "schema.required must name every property, also b"),
        (closed(in_it=OPEN), "schema.properties.in_it must have additionalProperties: false"),
        (closed(list={"type": "array", "items": PARTLY}), "schema.properties.list.items.required must name every"),
        (closed(one={"anyOf": [{"type": "null"}, OPEN]}), "schema.properties.one.anyOf.1 must have"),
        ({**closed(one={"$ref": "#/$defs/a"}), "$defs": {"a": OPEN}}, "schema.$defs.a must have"),
    ],
)
def test_a_strict_schema_that_azure_would_refuse_is_told_with_the_path(
    app: App, schema: dict[str, Any], problem: str
) -> None:
    caller = app.start()
    response = caller.post("chat", json=asking(schema))
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["code"] == "invalid_request"
    assert error["message"].startswith(f"response_format.json_schema: {problem}")
    assert app.azure.openai.requests == []
    assert caller.post("chat", json=asking(schema, strict=False)).status_code == 200


@pytest.mark.parametrize(
    "schema",
    [
        closed(),
        closed(one=closed(a={"type": "string"}), properties=closed(items=closed())),
        {**closed(one={"$ref": "#/$defs/a"}), "$defs": {"a": closed()}},
        closed(odd={"anyOf": 5, "items": 5, "$defs": 5}, other=True),
    ],
)
def test_a_strict_schema_that_keeps_the_rules_is_passed_on(schema: dict[str, Any]) -> None:
    assert strict_problem(schema) is None
