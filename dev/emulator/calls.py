"""Which functions an emulated model calls, and with what arguments: plain rules over the user's words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from dev.emulator.prompt import Prompt, Tool
from dev.emulator.schema import instance

# Words of a function's name that say nothing of its topic.
VERBS = {
    "get",
    "current",
    "find",
    "fetch",
    "list",
    "lookup",
    "look",
    "up",
    "read",
    "the",
    "of",
    "in",
    "for",
    "a",
    "an",
    "by",
}
PLACE = re.compile(r"\bin\s+([A-Z][\w.'-]*(?:[/ ][A-Z][\w.'-]*)*|[\w/'-]+)")
QUOTED = re.compile(r"[\"“']([^\"”']+)[\"”']")
THEN = re.compile(r"\bthen\b", re.IGNORECASE)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def wanted(prompt: Prompt) -> list[tuple[str, str]]:
    """The calls that this prompt leads to, as names and JSON arguments.

    What comes after a "then" in the user's words is done when the tools before it have answered; each is called once.
    """
    if prompt.tool_choice == "none" or (prompt.outputs and prompt.tool_choice != "auto"):
        return []
    called = {output.name for output in prompt.outputs}
    text, chosen = prompt.user_text, list[Tool]()
    for text in THEN.split(prompt.user_text):
        chosen = [tool for tool in prompt.tools if tool.name not in called and topic(tool, text) is not None]
        if chosen:
            break
    if prompt.tool_choice == "required":
        chosen = chosen or list(prompt.tools[:1])
    elif prompt.tool_choice != "auto":
        chosen = [tool for tool in prompt.tools if tool.name == prompt.tool_choice]
    if not prompt.parallel:
        chosen = chosen[:1]
    return [(tool.name, json.dumps(arguments(tool, text), ensure_ascii=False)) for tool in chosen]


def topic(tool: Tool, text: str) -> int | None:
    """Where the text first names what the function is about, by a word of its name; None if nowhere."""
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", tool.name)]
    telling = [word for word in words if word not in VERBS] or words
    found = [re.search(rf"\b{re.escape(word)}s?\b", text, re.IGNORECASE) for word in telling]
    return min((each.start() for each in found if each), default=None)


def arguments(tool: Tool, text: str) -> dict[str, Any]:
    """Deduce the function's required arguments: a place after "in", else the quoted or whole text; numbers in order."""
    properties = tool.parameters.get("properties", {})
    numbers = iter(NUMBER.findall(text))
    start = topic(tool, text) or 0
    return {
        name: _argument(properties.get(name, {}), text, start, numbers, tool.parameters)
        for name in tool.parameters.get("required", [])
    }


def _argument(schema: Mapping[str, Any], text: str, start: int, numbers: Iterator[str], root: Mapping[str, Any]) -> Any:
    options = schema.get("anyOf", [])
    if {"type": "null"} in options and not NUMBER.search(text):
        # Null stands for the default, where the text has no number to say otherwise.
        return None
    kinds = schema.get("type", "string")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if schema.get("enum"):
        named = (each for each in schema["enum"] if re.search(rf"\b{re.escape(str(each))}\b", text, re.IGNORECASE))
        return next(named, schema["enum"][0])
    if "string" in kinds and not schema.keys() & {"$ref", "anyOf", "oneOf", "const"}:
        found = PLACE.search(text, start) or PLACE.search(text) or QUOTED.search(text)
        return found[1].rstrip(".") if found else text
    if "integer" in kinds or "number" in kinds:
        number = next(numbers, None)
        if number is not None:
            return int(float(number)) if "integer" in kinds else float(number)
    return instance(schema, root)
