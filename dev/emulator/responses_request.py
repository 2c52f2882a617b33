"""The body of POST /responses, checked as the service checks it, as a Prompt.

Reference: https://platform.openai.com/docs/api-reference/responses/create.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from dev.emulator import fields
from dev.emulator.images import LIMIT, Picture, read_picture
from dev.emulator.prompt import Prompt, Tool, ToolOutput
from dev.emulator.refusal import invalid, missing, wrong_type

KNOWN = frozenset(
    (
        "background", "context_management", "conversation", "include", "input", "instructions",
        "max_output_tokens", "max_tool_calls", "metadata", "model", "moderation", "parallel_tool_calls",
        "previous_response_id", "prompt", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
        "reasoning", "safety_identifier", "service_tier", "store", "stream", "stream_options", "temperature",
        "text", "tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user",
    )
)  # fmt: skip
MOVED = {
    "messages": "input",
    "response_format": "text.format",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
}
ROLES = ("assistant", "system", "developer", "user")
ASKED_PARTS = ("input_text", "input_image", "input_file")
SAID_PARTS = ("output_text", "refusal")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


@dataclass
class _Reading:
    """What the items of the input told so far. The user's text and what follows it start anew with a user's message."""

    words: list[str] = field(default_factory=list)
    messages: int = 0
    user_text: str = ""
    pictures: list[Picture] = field(default_factory=list)
    outputs: list[ToolOutput] = field(default_factory=list)
    called: dict[str, str] = field(default_factory=dict)
    open_calls: dict[str, None] = field(default_factory=dict)


def read(
    body: Mapping[str, Any], deployments: Collection[str], reasoning: Collection[str], resource: str, earlier: list[Any]
) -> Prompt:
    """Check a body and say what it asks.

    `reasoning` are the deployments of reasoning families, `resource` names the resource to which encrypted reasoning is
    bound, `earlier` are the items that previous_response_id stands for.

    Raises:
        Refusal: what the service would refuse, in its words.
    """
    deployment = fields.deployment(body, deployments)
    fields.refuse_unknown(body, KNOWN, MOVED)
    fields.decimal(body, "temperature", 0, 2)
    fields.decimal(body, "top_p", 0, 1)
    thinking = fields.members(body, "reasoning")
    if deployment in reasoning:
        fields.refuse_family(body, ("temperature", "top_p"), {})
    elif thinking.get("effort") is not None:
        fields.refuse_family({"reasoning.effort": True}, ("reasoning.effort",), {})
    if thinking.get("effort") is not None:
        fields.choice(thinking["effort"], EFFORTS, "reasoning.effort")
    instructions = fields.text(body, "instructions")
    seen = _items(body, resource, earlier)
    words = "\n".join([instructions, *seen.words])
    tools = _tools(body)
    return Prompt(
        deployment=deployment,
        messages=seen.messages,
        user_text=seen.user_text,
        instructions=instructions,
        pictures=tuple(seen.pictures),
        tools=tools,
        tool_choice=fields.tool_choice(body.get("tool_choice"), tools),
        parallel=fields.flag(body, "parallel_tool_calls", True),
        outputs=tuple(seen.outputs),
        schema=fields.answer_format(
            fields.members(fields.members(body, "text"), "format", "text.format"), "text.format", words
        ),
        max_tokens=fields.whole(body, "max_output_tokens", 16),
        input_tokens=3 + len(words) // 4 + 85 * len(seen.pictures),
    )


def _tools(body: Mapping[str, Any]) -> tuple[Tool, ...]:
    functions = []
    for position, given in enumerate(fields.items(body, "tools")):
        kind = fields.text(
            fields.mapping(given, f"tools[{position}]"), "type", f"tools[{position}].type", required=True
        )
        if kind == "function":
            functions.append(fields.tool(given, f"tools[{position}]"))
    return tuple(functions)


def _items(body: Mapping[str, Any], resource: str, earlier: list[Any]) -> _Reading:
    given = body.get("input")
    if given is None:
        raise missing("input")
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list):
        raise wrong_type("input", "one of a string or array of input items", given)
    if not given and not earlier:
        raise invalid("Invalid 'input': empty array. Expected an array with minimum length 1.", "input", "empty_array")
    seen = _Reading()
    for position, item in enumerate([*earlier, *given]):
        _item(seen, fields.mapping(item, f"input[{position}]"), f"input[{position}]", resource)
    for call_id in seen.open_calls:
        raise invalid(f"No tool output found for function call {call_id}.", "input")
    if len(seen.pictures) > LIMIT:
        raise invalid(f"Invalid 'input': too many images. At most {LIMIT} are allowed.", "input", "too_many_images")
    return seen


def _item(seen: _Reading, item: Mapping[str, Any], param: str, resource: str) -> None:
    match item.get("type", "message"):
        case "message":
            _message(seen, item, param)
        case "function_call":
            call_id = fields.text(item, "call_id", f"{param}.call_id", required=True)
            seen.called[call_id] = fields.text(item, "name", f"{param}.name", required=True)
            seen.words.append(fields.text(item, "arguments", f"{param}.arguments", required=True))
            seen.open_calls[call_id] = None
        case "function_call_output":
            call_id = fields.text(item, "call_id", f"{param}.call_id", required=True)
            if call_id not in seen.called:
                raise invalid(f"No tool call found for function call output with call_id {call_id}.", "input")
            seen.open_calls.pop(call_id, None)
            output = item.get("output")
            if output is None:
                raise missing(f"{param}.output")
            told = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
            seen.words.append(told)
            seen.outputs.append(ToolOutput(seen.called[call_id], told))
        case "reasoning":
            _reasoning(item, resource)
        case "item_reference":
            raise _not_kept(str(item.get("id")))
        case other:
            fields.choice(
                other,
                ("message", "function_call", "function_call_output", "reasoning", "item_reference"),
                f"{param}.type",
            )


def _message(seen: _Reading, item: Mapping[str, Any], param: str) -> None:
    role = fields.choice(item.get("role"), ROLES, f"{param}.role")
    content = item.get("content")
    if content is None:
        raise missing(f"{param}.content")
    if isinstance(content, str):
        content = [{"type": "output_text" if role == "assistant" else "input_text", "text": content}]
    if not isinstance(content, list):
        raise wrong_type(f"{param}.content", "one of an array of objects or string", content)
    texts = []
    for position, given in enumerate(content):
        place = f"{param}.content[{position}]"
        part = fields.mapping(given, place)
        match fields.choice(part.get("type"), SAID_PARTS if role == "assistant" else ASKED_PARTS, place):
            case "input_text" | "output_text":
                texts.append(fields.text(part, "text", f"{place}.text", required=True))
            case "refusal":
                texts.append(fields.text(part, "refusal", f"{place}.refusal", required=True))
            case "input_image":
                fields.choice(part.get("detail") or "auto", ("low", "high", "auto", "original"), f"{place}.detail")
                if part.get("file_id") is None:
                    seen.pictures.append(read_picture(part.get("image_url"), f"{place}.image_url"))
    seen.messages += 1
    seen.words += texts
    if role == "user":
        seen.user_text = "\n".join(texts)
        seen.outputs.clear()


def _reasoning(item: Mapping[str, Any], resource: str) -> None:
    sealed = item.get("encrypted_content")
    if sealed is None:
        raise _not_kept(str(item.get("id")))
    if sealed != seal(resource, str(item.get("id"))):
        raise invalid(
            f"The encrypted content for item {item.get('id')} could not be verified. "
            "Reason: Encrypted content could not be decrypted or parsed.",
            None,
            "invalid_encrypted_content",
        )


def _not_kept(item_id: str) -> Exception:
    return invalid(
        f"Item with id '{item_id}' not found. Items are not persisted when `store` is set to false. "
        "Try again with `store` set to true, or remove this item from your input.",
        "input",
    )


def seal(resource: str, item_id: str) -> str:
    """The encrypted content of a reasoning item: worth something at this resource only."""
    return f"gAAAAA-{resource}-{item_id}"
