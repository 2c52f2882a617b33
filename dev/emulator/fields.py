"""Members of a JSON body, read with the checks and in the words of the real service."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from dev.emulator import schema
from dev.emulator.prompt import Tool
from dev.emulator.refusal import Refusal, gateway, invalid, missing, unsupported, wrong_type

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def text(body: Mapping[str, Any], name: str, param: str | None = None, *, required: bool = False) -> str:
    """A string; "" when absent or null, unless required."""
    value = body.get(name)
    if value is None and not required:
        return ""
    if name not in body:
        raise missing(param or name)
    if not isinstance(value, str):
        raise wrong_type(param or name, "a string", value)
    return value


def flag(body: Mapping[str, Any], name: str, default: bool) -> bool:
    """A boolean; the default when absent or null."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise wrong_type(name, "a boolean", value)
    return value


def whole(body: Mapping[str, Any], name: str, least: int) -> int | None:
    """An integer not below `least`; None when absent or null."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(name, "an integer", value)
    if value < least:
        message = (
            f"Invalid '{name}': integer below minimum value. Expected a value >= {least}, but got {value} instead."
        )
        raise invalid(message, name, "integer_below_min_value")
    return value


def decimal(body: Mapping[str, Any], name: str, low: float, high: float) -> None:
    """Check that a number, if there, is between the two."""
    value = body.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(name, "a decimal", value)
    if not low <= value <= high:
        side, bound = ("below minimum", f">= {low}") if value < low else ("above maximum", f"<= {high}")
        message = f"Invalid '{name}': decimal {side} value. Expected a value {bound}, but got {value} instead."
        raise invalid(message, name, f"decimal_{side.replace(' ', '_')[:9]}_value")


def items(body: Mapping[str, Any], name: str, param: str | None = None) -> list[Any]:
    """An array; empty when absent or null."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise wrong_type(param or name, "an array", value)
    return value


def members(body: Mapping[str, Any], name: str, param: str | None = None) -> Mapping[str, Any]:
    """An object; empty when absent or null."""
    value = body.get(name)
    return {} if value is None else mapping(value, param or name)


def mapping(value: object, param: str) -> Mapping[str, Any]:
    """The value, which is to be an object."""
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)
    return value


def choice(value: object, allowed: Collection[str], param: str) -> str:
    """The value, which is to be one of these."""
    if not isinstance(value, str) or value not in allowed:
        names = [f"'{each}'" for each in allowed]
        supported = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        raise invalid(f"Invalid value: '{value}'. Supported values are: {supported}.", param, "invalid_value")
    return value


def deployment(body: Mapping[str, Any], deployments: Collection[str]) -> str:
    """The model's name, which on Azure is a deployment's."""
    name = text(body, "model", required=True)
    if name not in deployments:
        raise gateway(
            404,
            "DeploymentNotFound",
            "The API deployment for this resource does not exist. If you created the deployment within the last "
            "5 minutes, please wait a moment and try again.",
        )
    return name


def refuse_unknown(body: Mapping[str, Any], known: Collection[str], moved: Mapping[str, str]) -> None:
    """Refuse a member that the operation does not have; `moved` names those that this API calls otherwise."""
    for name in body:
        if name in moved:
            message = (
                f"Unsupported parameter: '{name}'. In the Responses API, this parameter has moved to '{moved[name]}'. "
                "Try again with the new parameter."
            )
            raise invalid(message, name, "unsupported_parameter")
        if name not in known:
            raise invalid(f"Unknown parameter: '{name}'.", name, "unknown_parameter")


def refuse_family(body: Mapping[str, Any], names: Collection[str], instead: Mapping[str, str]) -> None:
    """Refuse what the deployment's family of models does not take. Null counts as absent."""
    for name in names:
        if body.get(name) is not None:
            raise unsupported(name, instead.get(name))


def tool(given: object, param: str) -> Tool:
    """A function's description: the object that holds its name and parameters."""
    described = mapping(given, param)
    name = text(described, "name", f"{param}.name", required=True)
    if not NAME.fullmatch(name):
        message = f"Invalid '{param}.name': string does not match pattern. Expected a string that matches the pattern "
        raise invalid(message + "'^[a-zA-Z0-9_-]+$'.", f"{param}.name", "invalid_value")
    parameters = members(described, "parameters", f"{param}.parameters")
    if parameters and parameters.get("type") != "object":
        raise _bad_function(
            name, param, f"schema must be a JSON Schema of 'type: \"object\"', got {parameters.get('type')!r}."
        )
    if described.get("strict"):
        schema.check_strict(parameters, f"function '{name}'", f"{param}.parameters")
    return Tool(name, parameters)


def _bad_function(name: str, param: str, message: str) -> Refusal:
    return invalid(
        f"Invalid schema for function '{name}': {message}", f"{param}.parameters", "invalid_function_parameters"
    )


def tool_choice(given: object, tools: Collection[Tool]) -> str:
    """auto, none, required, or the name of one of the tools (of the older shape with "function", too)."""
    if given is None:
        return "auto"
    if isinstance(given, str):
        chosen = choice(given, ("none", "auto", "required"), "tool_choice")
        if not tools and chosen != "none":
            message = f"Tool choice '{chosen}' must be specified with 'tools' parameter."
            raise invalid(message, "tool_choice")
        return chosen
    named = mapping(given, "tool_choice")
    name = text(members(named, "function", "tool_choice.function") or named, "name", "tool_choice.name", required=True)
    if name not in {each.name for each in tools}:
        raise invalid(f"Tool choice '{name}' not found in 'tools' parameter.", "tool_choice")
    return name


def answer_format(given: Mapping[str, Any], param: str, words: str) -> Mapping[str, Any] | None:
    """The JSON schema that the answer is to fit: {} for any JSON, None for plain text.

    `given` holds type, name, schema, strict; `words` is all the input's text, which json_object wants to mention JSON.
    """
    kind = choice(given.get("type", "text"), ("text", "json_object", "json_schema"), f"{param}.type")
    if kind == "text":
        return None
    if kind == "json_object":
        if "json" not in words.lower():
            message = f"The input must contain the word 'json' in some form to use '{param}' of type 'json_object'."
            raise invalid(message, param)
        return {}
    name = text(given, "name", f"{param}.name", required=True)
    if given.get("schema") is None:
        raise missing(f"{param}.schema")
    asked = members(given, "schema", f"{param}.schema")
    if given.get("strict"):
        schema.check_strict(asked, f"response_format '{name}'", param)
    return asked
