"""The body of POST /chat/completions, checked as the service checks it, as a Prompt.

Reference: https://platform.openai.com/docs/api-reference/chat/create.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from dev.emulator import fields
from dev.emulator.images import LIMIT, Picture, read_picture
from dev.emulator.prompt import Prompt, ToolOutput
from dev.emulator.refusal import invalid, missing, wrong_type

KNOWN = frozenset(
    (
        "audio", "data_sources", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
        "max_completion_tokens", "max_tokens", "messages", "metadata", "modalities", "model", "moderation",
        "n", "parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key",
        "prompt_cache_options", "prompt_cache_retention", "reasoning_effort", "response_format",
        "safety_identifier", "seed", "service_tier", "stop", "store", "stream", "stream_options",
        "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user", "user_security_context",
        "verbosity", "web_search_options",
    )
)  # fmt: skip
ROLES = ("system", "assistant", "user", "function", "tool", "developer")
NOT_FOR_REASONING = (
    "temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "logit_bias",
    "max_tokens",
)  # fmt: skip


@dataclass
class _Reading:
    """What the messages told so far. The user's text and what follows it start anew with a user's message."""

    words: list[str] = field(default_factory=list)
    instructions: list[str] = field(default_factory=list)
    user_text: str = ""
    pictures: list[Picture] = field(default_factory=list)
    outputs: list[ToolOutput] = field(default_factory=list)
    open_calls: dict[str, str] = field(default_factory=dict)


def read(body: Mapping[str, Any], deployments: Collection[str], reasoning: Collection[str]) -> Prompt:
    """Check a body and say what it asks; `reasoning` are the deployments of reasoning families.

    Raises:
        Refusal: what the service would refuse, in its words.
    """
    deployment = fields.deployment(body, deployments)
    fields.refuse_unknown(body, KNOWN, {})
    fields.decimal(body, "temperature", 0, 2)
    fields.decimal(body, "top_p", 0, 1)
    if deployment in reasoning:
        fields.refuse_family(body, NOT_FOR_REASONING, {"max_tokens": "max_completion_tokens"})
    else:
        fields.refuse_family(body, ("reasoning_effort",), {})
    if body.get("stream_options") is not None and not fields.flag(body, "stream", False):
        raise invalid("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    messages = fields.items(body, "messages")
    if "messages" not in body:
        raise missing("messages")
    seen = _messages(messages)
    tools = tuple(
        fields.tool(given.get("function"), f"tools[{position}].function")
        for position, given in enumerate(_functions(body))
    )
    words = "\n".join(seen.words)
    caps = (fields.whole(body, name, 1) for name in ("max_completion_tokens", "max_tokens"))
    return Prompt(
        deployment=deployment,
        messages=len(messages),
        user_text=seen.user_text,
        instructions="\n".join(seen.instructions),
        pictures=tuple(seen.pictures),
        tools=tools,
        tool_choice=fields.tool_choice(body.get("tool_choice"), tools),
        parallel=fields.flag(body, "parallel_tool_calls", True),
        outputs=tuple(seen.outputs),
        schema=_schema(body, words),
        max_tokens=min((cap for cap in caps if cap is not None), default=None),
        input_tokens=3 + len(words) // 4 + 85 * len(seen.pictures),
    )


def _functions(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    given = [fields.mapping(each, f"tools[{position}]") for position, each in enumerate(fields.items(body, "tools"))]
    for position, each in enumerate(given):
        fields.choice(each.get("type"), ("function", "custom"), f"tools[{position}].type")
    return [each for each in given if each["type"] == "function"]


def _schema(body: Mapping[str, Any], words: str) -> Mapping[str, Any] | None:
    asked = fields.members(body, "response_format")
    described = fields.members(asked, "json_schema", "response_format.json_schema")
    kind = {"type": asked["type"]} if "type" in asked else {}
    return fields.answer_format({**described, **kind}, "response_format", words)


def _messages(messages: list[Any]) -> _Reading:
    if not messages:
        raise invalid(
            "Invalid 'messages': empty array. Expected an array with minimum length 1.", "messages", "empty_array"
        )
    seen = _Reading()
    for position, given in enumerate(messages):
        param = f"messages[{position}]"
        message = fields.mapping(given, param)
        role = fields.choice(message.get("role"), ROLES, f"{param}.role")
        if role == "tool":
            _output(seen, message, param)
            continue
        _all_answered(seen)
        said = _content(seen, message, role, param)
        seen.words.append(said)
        if role == "user":
            seen.user_text = said
            seen.outputs.clear()
        elif role in ("system", "developer"):
            seen.instructions.append(said)
    _all_answered(seen)
    if len(seen.pictures) > LIMIT:
        raise invalid(
            f"Invalid 'messages': too many images. At most {LIMIT} are allowed.", "messages", "too_many_images"
        )
    return seen


def _output(seen: _Reading, message: Mapping[str, Any], param: str) -> None:
    call_id = fields.text(message, "tool_call_id", f"{param}.tool_call_id", required=True)
    if call_id not in seen.open_calls:
        raise invalid(
            "Invalid parameter: messages with role 'tool' must be a response to a preceding message with 'tool_calls'.",
            f"{param}.role",
        )
    told = _content(seen, message, "tool", param)
    seen.words.append(told)
    seen.outputs.append(ToolOutput(seen.open_calls.pop(call_id), told))


def _all_answered(seen: _Reading) -> None:
    if seen.open_calls:
        raise invalid(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(seen.open_calls)}",
            "messages",
        )


def _content(seen: _Reading, message: Mapping[str, Any], role: str, param: str) -> str:
    called = fields.items(message, "tool_calls", f"{param}.tool_calls") if role == "assistant" else []
    for position, call in enumerate(called):
        place = f"{param}.tool_calls[{position}]"
        function = fields.members(fields.mapping(call, place), "function", f"{place}.function")
        fields.text(function, "arguments", f"{place}.function.arguments", required=True)
        name = fields.text(function, "name", f"{place}.function.name", required=True)
        seen.open_calls[fields.text(call, "id", f"{place}.id", required=True)] = name
    content = message.get("content")
    if content is None and role == "assistant":
        return ""
    if content is None:
        raise invalid("Invalid value for 'content': expected a string, got null.", f"{param}.content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise wrong_type(f"{param}.content", "one of a string or array of objects", content)
    texts = []
    for position, given in enumerate(content):
        place = f"{param}.content[{position}]"
        part = fields.mapping(given, place)
        allowed = ("text", "image_url", "input_audio", "file") if role == "user" else ("text", "refusal")
        match fields.choice(part.get("type"), allowed, f"{place}.type"):
            case "text" | "refusal" as kind:
                texts.append(fields.text(part, kind, f"{place}.{kind}", required=True))
            case "image_url":
                image = fields.members(part, "image_url", f"{place}.image_url")
                seen.pictures.append(read_picture(image.get("url"), f"{place}.image_url.url"))
    return "\n".join(texts)
