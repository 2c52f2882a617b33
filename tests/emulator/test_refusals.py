"""Bodies that the real service refuses, refused in its words: the parameter and the code tell what is wrong."""

from __future__ import annotations

import base64
from typing import Any

import aiohttp
import pytest

from dev.emulator import Emulators

MODEL = "gpt-4.1-mini"
THINKER = "gpt-5.4-mini"
FUNCTION = {"type": "function", "name": "roll", "parameters": {"type": "object", "properties": {}}}
CALL = {"type": "function_call", "call_id": "c1", "name": "roll", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "4"}
GIF = "data:image/gif;base64," + base64.b64encode(b"GIF89a\x01\x00\x01\x00").decode()
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}
LOOSE = {**OPEN, "additionalProperties": False}
NESTED = {
    **LOOSE,
    "required": ["a"],
    "$defs": {"x": {"type": "array", "items": {"anyOf": [{"type": "string"}, OPEN]}}},
}


def user(*parts: Any) -> list[dict[str, Any]]:
    """An input of one user's message with these parts."""
    return [{"role": "user", "content": list(parts)}]


def shaped(**given: Any) -> dict[str, Any]:
    """A text member that asks for a JSON schema."""
    return {"format": {"type": "json_schema", "name": "it", **given}}


async def refused(http: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The error that a body meets."""
    async with http.post(path, json=body) as answer:
        assert answer.status == 400, await answer.text()
        error: dict[str, Any] = (await answer.json())["error"]
    assert error["type"] == "invalid_request_error"
    return error


RESPONSES: list[tuple[str, dict[str, Any], str | None, str | None]] = [
    ("no input", {}, "input", "missing_required_parameter"),
    ("an input of a wrong type", {"input": 5}, "input", "invalid_type"),
    ("an empty input", {"input": []}, "input", "empty_array"),
    ("an item that is no object", {"input": ["x"]}, "input[0]", "invalid_type"),
    ("an unknown item", {"input": [{"type": "thing"}]}, "input[0].type", "invalid_value"),
    ("an unknown role", {"input": [{"role": "king", "content": "x"}]}, "input[0].role", "invalid_value"),
    ("no content", {"input": [{"role": "user"}]}, "input[0].content", "missing_required_parameter"),
    ("content of a wrong type", {"input": [{"role": "user", "content": 1}]}, "input[0].content", "invalid_type"),
    ("a part of the other api", {"input": user({"type": "text", "text": "x"})}, "input[0].content[0]", "invalid_value"),
    (
        "an assistant's part that is input",
        {"input": [{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}]},
        "input[0].content[0]",
        "invalid_value",
    ),
    (
        "a text that is none",
        {"input": user({"type": "input_text", "text": 1.5})},
        "input[0].content[0].text",
        "invalid_type",
    ),
    (
        "a picture that is no address",
        {"input": user({"type": "input_image", "image_url": "file:///etc/passwd"})},
        "input[0].content[0].image_url",
        "invalid_value",
    ),
    (
        "a picture that is not base64",
        {"input": user({"type": "input_image", "image_url": "data:image/png;base64,%%%"})},
        "input[0].content[0].image_url",
        "invalid_value",
    ),
    (
        "a picture that is none",
        {"input": user({"type": "input_image", "image_url": "data:image/png;base64,aGVsbG8="})},
        "input[0].content[0].image_url",
        "invalid_image",
    ),
    (
        "an unknown detail",
        {"input": user({"type": "input_image", "image_url": GIF, "detail": "some"})},
        "input[0].content[0].detail",
        "invalid_value",
    ),
    (
        "too many pictures",
        {"input": user(*[{"type": "input_image", "image_url": GIF}] * 51)},
        "input",
        "too_many_images",
    ),
    ("a call without its output", {"input": [CALL]}, "input", None),
    ("an output without its call", {"input": [OUTPUT]}, "input", None),
    (
        "an output that is missing",
        {"input": [CALL, {**OUTPUT, "output": None}]},
        "input[1].output",
        "missing_required_parameter",
    ),
    ("arguments that are no text", {"input": [{**CALL, "arguments": {}}]}, "input[0].arguments", "invalid_type"),
    ("a reference to what was not kept", {"input": [{"type": "item_reference", "id": "msg_1"}]}, "input", None),
    ("reasoning that is not sealed", {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}, "input", None),
    ("an unknown parameter", {"input": "x", "colour": 1}, "colour", "unknown_parameter"),
    ("messages", {"messages": []}, "messages", "unsupported_parameter"),
    ("a cap below the least", {"input": "x", "max_output_tokens": 15}, "max_output_tokens", "integer_below_min_value"),
    ("a cap that is no integer", {"input": "x", "max_output_tokens": True}, "max_output_tokens", "invalid_type"),
    ("a temperature too high", {"input": "x", "temperature": 2.5}, "temperature", "decimal_above_max_value"),
    ("a top_p too low", {"input": "x", "top_p": -1}, "top_p", "decimal_below_min_value"),
    ("a temperature that is none", {"input": "x", "temperature": False}, "temperature", "invalid_type"),
    (
        "a temperature for a reasoning model",
        {"model": THINKER, "input": "x", "temperature": 1},
        "temperature",
        "unsupported_parameter",
    ),
    (
        "an effort for another",
        {"input": "x", "reasoning": {"effort": "low"}},
        "reasoning.effort",
        "unsupported_parameter",
    ),
    (
        "an unknown effort",
        {"model": THINKER, "input": "x", "reasoning": {"effort": "huge"}},
        "reasoning.effort",
        "invalid_value",
    ),
    ("instructions that are no text", {"input": "x", "instructions": ["y"]}, "instructions", "invalid_type"),
    ("tools that are no array", {"input": "x", "tools": {}}, "tools", "invalid_type"),
    (
        "a tool without a name",
        {"input": "x", "tools": [{"type": "function"}]},
        "tools[0].name",
        "missing_required_parameter",
    ),
    (
        "a tool with a bad name",
        {"input": "x", "tools": [{**FUNCTION, "name": "a b"}]},
        "tools[0].name",
        "invalid_value",
    ),
    (
        "a tool whose schema is no object's",
        {"input": "x", "tools": [{**FUNCTION, "parameters": {"type": "array"}}]},
        "tools[0].parameters",
        "invalid_function_parameters",
    ),
    (
        "a strict tool that is open",
        {"input": "x", "tools": [{**FUNCTION, "strict": True, "parameters": OPEN}]},
        "tools[0].parameters",
        "invalid_json_schema",
    ),
    (
        "a choice of no tool",
        {"input": "x", "tools": [FUNCTION], "tool_choice": {"type": "function", "name": "b"}},
        "tool_choice",
        None,
    ),
    ("a choice without tools", {"input": "x", "tool_choice": "required"}, "tool_choice", None),
    ("an unknown choice", {"input": "x", "tools": [FUNCTION], "tool_choice": "maybe"}, "tool_choice", "invalid_value"),
    (
        "parallel calls that are no boolean",
        {"input": "x", "parallel_tool_calls": "no"},
        "parallel_tool_calls",
        "invalid_type",
    ),
    ("an unknown format", {"input": "x", "text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
    ("json without the word", {"input": "x", "text": {"format": {"type": "json_object"}}}, "text.format", None),
    (
        "a schema without a name",
        {"input": "x", "text": {"format": {"type": "json_schema"}}},
        "text.format.name",
        "missing_required_parameter",
    ),
    ("a name without a schema", {"input": "x", "text": shaped()}, "text.format.schema", "missing_required_parameter"),
    (
        "a strict schema that is open",
        {"input": "x", "text": shaped(schema=OPEN, strict=True)},
        "text.format",
        "invalid_json_schema",
    ),
    (
        "a strict schema with an option",
        {"input": "x", "text": shaped(schema=LOOSE, strict=True)},
        "text.format",
        "invalid_json_schema",
    ),
    (
        "a strict schema open within",
        {"input": "x", "text": shaped(schema=NESTED, strict=True)},
        "text.format",
        "invalid_json_schema",
    ),
]

TOOL = {"type": "function", "function": {"name": "roll"}}
CALLED = {
    "role": "assistant",
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "roll", "arguments": "{}"}}],
}
ANSWERED = {"role": "tool", "tool_call_id": "c1", "content": "4"}
HELLO = [{"role": "user", "content": "Hello"}]

CHAT: list[tuple[str, dict[str, Any], str | None, str | None]] = [
    ("no messages", {}, "messages", "missing_required_parameter"),
    ("no message", {"messages": []}, "messages", "empty_array"),
    ("messages of a wrong type", {"messages": "x"}, "messages", "invalid_type"),
    ("an unknown role", {"messages": [{"role": "king", "content": "x"}]}, "messages[0].role", "invalid_value"),
    ("no content", {"messages": [{"role": "user"}]}, "messages[0].content", None),
    ("content of a wrong type", {"messages": [{"role": "user", "content": 1}]}, "messages[0].content", "invalid_type"),
    (
        "a part of the other api",
        {"messages": user({"type": "input_text", "text": "x"})},
        "messages[0].content[0].type",
        "invalid_value",
    ),
    ("a call that is not answered", {"messages": [CALLED]}, "messages", None),
    ("a call that is passed over", {"messages": [CALLED, *HELLO]}, "messages", None),
    ("an answer without a call", {"messages": [ANSWERED]}, "messages[0].role", None),
    ("an answer given twice", {"messages": [CALLED, ANSWERED, ANSWERED]}, "messages[2].role", None),
    (
        "too many pictures",
        {"messages": user(*[{"type": "image_url", "image_url": {"url": GIF}}] * 51)},
        "messages",
        "too_many_images",
    ),
    ("an unknown parameter", {"messages": HELLO, "input": "x"}, "input", "unknown_parameter"),
    ("a cap of none", {"messages": HELLO, "max_tokens": 0}, "max_tokens", "integer_below_min_value"),
    (
        "a temperature for a reasoning model",
        {"model": THINKER, "messages": HELLO, "temperature": 1},
        "temperature",
        "unsupported_parameter",
    ),
    (
        "the older cap for one",
        {"model": THINKER, "messages": HELLO, "max_tokens": 9},
        "max_tokens",
        "unsupported_parameter",
    ),
    (
        "an effort for another",
        {"messages": HELLO, "reasoning_effort": "low"},
        "reasoning_effort",
        "unsupported_parameter",
    ),
    ("stream options without a stream", {"messages": HELLO, "stream_options": {}}, "stream_options", None),
    (
        "a tool of no type",
        {"messages": HELLO, "tools": [{"function": {"name": "a"}}]},
        "tools[0].type",
        "invalid_value",
    ),
    (
        "a tool without a function",
        {"messages": HELLO, "tools": [{"type": "function"}]},
        "tools[0].function",
        "invalid_type",
    ),
    (
        "a choice of no tool",
        {"messages": HELLO, "tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "b"}}},
        "tool_choice",
        None,
    ),
    (
        "a format of no type",
        {"messages": HELLO, "response_format": {"type": 1}},
        "response_format.type",
        "invalid_value",
    ),
]


@pytest.mark.parametrize(
    ("body", "param", "code"), [case[1:] for case in RESPONSES], ids=[case[0] for case in RESPONSES]
)
async def test_responses_refuse(http: aiohttp.ClientSession, body: dict[str, Any], param: str, code: str) -> None:
    error = await refused(http, "responses", {"model": MODEL, **body})
    assert (error["param"], error["code"]) == (param, code)


@pytest.mark.parametrize(("body", "param", "code"), [case[1:] for case in CHAT], ids=[case[0] for case in CHAT])
async def test_chat_completions_refuse(
    http: aiohttp.ClientSession, body: dict[str, Any], param: str, code: str
) -> None:
    error = await refused(http, "chat/completions", {"model": MODEL, **body})
    assert (error["param"], error["code"]) == (param, code)


@pytest.mark.parametrize("model", [None, 5])
async def test_a_model_that_is_no_name_is_refused(http: aiohttp.ClientSession, model: object) -> None:
    error = await refused(http, "responses", {"model": model, "input": "x"})
    assert (error["param"], error["code"]) == ("model", "invalid_type")


async def test_a_body_without_a_model_is_refused(http: aiohttp.ClientSession) -> None:
    assert (await refused(http, "responses", {"input": "x"}))["code"] == "missing_required_parameter"


@pytest.mark.parametrize(
    ("content_type", "data", "status"),
    [("text/plain", b"{}", 415), ("application/json", b"{", 400), ("application/json", b"[1]", 400)],
)
async def test_a_body_that_is_no_json_object_is_refused(
    http: aiohttp.ClientSession, content_type: str, data: bytes, status: int
) -> None:
    async with http.post("responses", data=data, headers={"Content-Type": content_type}) as answer:
        assert answer.status == status
        assert (await answer.json())["error"]["message"]


async def test_a_refused_body_takes_no_step_of_the_script(emulators: Emulators, http: aiohttp.ClientSession) -> None:
    emulators.openai.script({"text": "kept"})
    await refused(http, "responses", {"model": MODEL})
    assert emulators.openai.scripted == 1
