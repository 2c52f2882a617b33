"""Does a JSON schema keep the rules of `strict`?  Only what is clear is told; the rest is Azure OpenAI's to say.

Rules: https://learn.microsoft.com/azure/ai-foundry/openai/how-to/structured-outputs (supported schemas).
"""

from __future__ import annotations

from typing import Any

INSIDE = ("properties", "$defs", "definitions")
"""What holds schemas by name."""


def strict_problem(schema: dict[str, Any]) -> str | None:
    """The first rule that a schema breaks, with the path of the object that breaks it; None when there is none.

    The root is an object; every object is closed (`additionalProperties: false`) and requires all its properties.
    """
    if schema.get("type") != "object" and "$ref" not in schema:
        return 'schema must be of type "object"'
    inside: list[tuple[str, Any]] = [("schema", schema)]
    while inside:
        path, one = inside.pop()
        if not isinstance(one, dict):
            continue
        properties = one.get("properties")
        if one.get("type") == "object" or properties is not None:
            if one.get("additionalProperties") is not False:
                return f"{path} must have additionalProperties: false; or send strict: false"
            if absent := _absent(properties, one.get("required")):
                return f"{path}.required must name every property, also {absent:.40}; or send strict: false"
        for name in INSIDE:
            if isinstance(held := one.get(name), dict):
                inside += [(f"{path}.{name}.{key:.40}", each) for key, each in held.items()]
        inside.append((f"{path}.items", one.get("items")))
        if isinstance(choices := one.get("anyOf"), list):
            inside += [(f"{path}.anyOf.{position}", each) for position, each in enumerate(choices)]
    return None


def _absent(properties: Any, required: Any) -> str | None:
    known = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
    return next((name for name in properties if name not in known), None) if isinstance(properties, dict) else None
