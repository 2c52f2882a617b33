"""The smallest JSON that fits a JSON schema, for structured answers and for functions' arguments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dev.emulator.refusal import invalid

FORMATS = {
    "date": "2025-01-01",
    "date-time": "2025-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "PT0S",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def instance(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None, depth: int = 0) -> Any:
    """Return a value that fits the schema; every property is there that is required. `root` holds the $defs."""
    root = schema if root is None else root
    if depth > 32:
        return None
    if "$ref" in schema:
        return instance(_referred(schema["$ref"], root), root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf"):
        if schema.get(choice):
            return instance(_plainest(schema[choice]), root, depth + 1)
    if schema.get("allOf"):
        merged: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
        for given in schema["allOf"]:
            part = _referred(given["$ref"], root) if "$ref" in given else given
            merged["properties"] |= part.get("properties", {})
            merged["required"] += part.get("required", [])
        return instance(merged, root, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    return _of_kind(kind, schema, root, depth)


def _of_kind(kind: str, schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    match kind:
        case "object":
            properties = schema.get("properties", {})
            return {name: instance(properties.get(name, {}), root, depth + 1) for name in schema.get("required", [])}
        case "array":
            item = schema.get("items", {})
            return [instance(item, root, depth + 1) for _ in range(schema.get("minItems", 0))]
        case "string":
            text: str = FORMATS.get(schema.get("format", ""), "text")
            return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]
        case "integer" | "number":
            return _number(kind, schema)
        case "boolean":
            return True
        case _:
            return None


def _number(kind: str, schema: Mapping[str, Any]) -> float:
    step = schema.get("multipleOf", 1)
    low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf))
    high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf))

    def fits(value: float) -> bool:
        open_ends = (schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum"))
        return low <= value <= high and value not in open_ends

    candidates: list[float] = [0]
    if low > -math.inf:
        candidates += [math.ceil(low / step) * step, (math.floor(low / step) + 1) * step]
    if high < math.inf:
        candidates += [math.floor(high / step) * step, (math.ceil(high / step) - 1) * step]
    candidates.append((low + high) / 2)
    value = next((each for each in candidates if fits(each)), 0)
    return int(value) if kind == "integer" else value


def _plainest(choices: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    return next((each for each in choices if each.get("type") != "null"), choices[0])


def _referred(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for name in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(name, {}) if name else found
    return found  # type: ignore[no-any-return]  # JSON: what a name leads to is known by no type


def check_strict(schema: Any, name: str, param: str, path: tuple[str, ...] = ()) -> None:
    """Hold a schema to the rules of `strict: true`: every object closed, with all of its properties required.

    Raises:
        Refusal: in the words of the real service.
    """
    if not isinstance(schema, Mapping):
        return
    place = f"In context=({', '.join(repr(each) for each in path)})"
    if "properties" in schema:
        if schema.get("additionalProperties") is not False:
            raise _bad(name, param, f"{place}, 'additionalProperties' is required to be supplied and to be false.")
        if absent := sorted(set(schema["properties"]) - set(schema.get("required", []))):
            raise _bad(
                name,
                param,
                f"{place}, 'required' is required to be supplied and to be an array including every key in properties. "
                f"Missing '{absent[0]}'.",
            )
    for group in ("properties", "$defs"):
        for key, inner in schema.get(group, {}).items():
            check_strict(inner, name, param, (*path, group, key))
    check_strict(schema.get("items"), name, param, (*path, "items"))
    for position, inner in enumerate(schema.get("anyOf", [])):
        check_strict(inner, name, param, (*path, "anyOf", str(position)))


def _bad(name: str, param: str, message: str) -> Exception:
    return invalid(f"Invalid schema for {name}: {message}", param, "invalid_json_schema")
