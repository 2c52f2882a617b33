"""The smallest instance of a JSON schema."""

from __future__ import annotations

from typing import Any

import pytest

from dev.emulator.schema import instance

TREE = {
    "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["next"]}},
    "$ref": "#/$defs/node",
}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, "text"),
        ({"type": "string", "minLength": 6}, "text.."),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "format": "date"}, "2025-01-01"),
        ({"type": "integer"}, 0),
        ({"type": "integer", "minimum": 5, "multipleOf": 4}, 8),
        ({"type": "integer", "exclusiveMinimum": 5}, 6),
        ({"type": "integer", "exclusiveMinimum": 0}, 1),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "integer", "exclusiveMaximum": -3}, -4),
        ({"type": "number", "minimum": 0.25, "maximum": 0.75}, 0.5),
        ({"type": "number", "minimum": 1, "maximum": 0}, 0),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "integer"]}, 0),
        ({"type": ["null"]}, None),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": 7}, 7),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, True),
        ({"oneOf": [{"type": "null"}]}, None),
        ({"type": "array"}, []),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
        ({"properties": {"a": {}, "b": {}}, "required": ["b"]}, {"b": "text"}),
        (
            {
                "$defs": {"x": {"properties": {"a": {"type": "integer"}}, "required": ["a"]}},
                "allOf": [{"$ref": "#/$defs/x"}, {"properties": {"b": {"const": 1}}, "required": ["b"]}],
            },
            {"a": 0, "b": 1},
        ),
    ],
)
def test_the_instance_fits(schema: dict[str, Any], value: Any) -> None:
    assert instance(schema) == value


def test_a_schema_that_needs_itself_without_end_is_cut_off() -> None:
    depth, value = 0, instance(TREE)
    while value is not None:
        depth, value = depth + 1, value["next"]
    assert 4 < depth < 64
