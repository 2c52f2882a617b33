"""What does a model have to know to call a tool?  The strict subset of JSON schema for function calling.

Strict function calling makes the model's arguments fit the schema, and takes only a part of JSON schema for it: every
object is closed and requires all its properties, and the keywords that bound a value are missing. Those are moved into
the description, where the model can read them; they are still checked when the call comes.
Source: "JSON Schema support and limitations" in Azure OpenAI's documentation of structured outputs.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

KEPT = frozenset(
    {
        "type",
        "description",
        "enum",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "anyOf",
        "$ref",
    }
)
IGNORED = frozenset({"title", "default", "examples", "deprecated", "discriminator", "const", "oneOf", "$defs"})
BOUNDS = frozenset(
    {
        *("minLength", "maxLength", "pattern", "format", "minItems", "maxItems", "uniqueItems"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    }
)
SCALARS = frozenset({"string", "number", "integer", "boolean", "null"})


class UnsupportedSchema(ValueError):
    """A type has no counterpart in strict function calling. The text says which, for the tool's author."""


def strict(schema: Schema) -> Schema:
    """A copy of pydantic's JSON schema in the strict subset.

    Raises:
        UnsupportedSchema: a type cannot be told to the model, such as `dict[str, int]` or `Any`.
    """
    result = _node(schema, "the arguments")
    if definitions := schema.get("$defs"):
        result["$defs"] = {name: _node(node, name) for name, node in definitions.items()}
    return result


def _node(node: Schema, where: str) -> Schema:
    if unknown := set(node) - KEPT - IGNORED - BOUNDS:
        raise UnsupportedSchema(f"{where} needs {', '.join(sorted(unknown))}, which models are not told strictly")
    result: Schema = {key: node[key] for key in ("type", "description", "enum", "$ref") if key in node}
    if "const" in node:
        result["enum"] = [node["const"]]
    if bounds := ", ".join(f"{key}: {node[key]}" for key in node if key in BOUNDS):
        result["description"] = f"{node.get('description', '')} ({bounds})".strip()
    if variants := node.get("anyOf") or node.get("oneOf"):
        result["anyOf"] = [_variant(variant, node, where) for variant in variants]
    elif node.get("type") == "object":
        _object(node, result, where)
    elif node.get("type") == "array":
        if not node.get("items"):
            raise UnsupportedSchema(f"{where} is a list of anything: say of what, as in list[str]")
        result["items"] = _node(node["items"], f"an item of {where}")
    elif "enum" not in result and "$ref" not in result and node.get("type") not in SCALARS:
        raise UnsupportedSchema(f"{where} can be anything: give it a type that JSON has")
    if "$ref" in result and len(result) > 1:
        result["anyOf"] = [{"$ref": result.pop("$ref")}]
    return result


def _variant(variant: Schema, parent: Schema, where: str) -> Schema:
    """One type of a union. A description that the whole union has too is not told twice."""
    if variant.get("description") == parent.get("description"):
        variant = {key: value for key, value in variant.items() if key != "description"}
    return _node(variant, where)


def _object(node: Schema, result: Schema, where: str) -> None:
    if node.get("additionalProperties"):
        raise UnsupportedSchema(f"{where} is a dict with any keys: use a class with fields, or a list of pairs")
    properties = node.get("properties", {})
    result["properties"] = {name: _node(child, f"`{name}`") for name, child in properties.items()}
    result["required"] = list(properties)
    result["additionalProperties"] = False
