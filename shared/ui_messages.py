"""The AI SDK's messages, as `useChat` sends them, put into this app's own shape.

Source: the UI message types of npm's `ai`, versions 5 to 7 (`UIMessage`, `HttpChatTransport`).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic_core import to_json

from shared.errors import InvalidRequest


def is_ui_body(body: dict[str, Any]) -> bool:
    """Whether the messages are the AI SDK's: theirs have `parts` where ours have `content`."""
    messages = body.get("messages")
    return isinstance(messages, list) and any(isinstance(one, dict) and "parts" in one for one in messages)


def from_ui_messages(body: dict[str, Any], known: Collection[str]) -> dict[str, Any]:
    """The body in this app's shape, streaming unless it says otherwise; it is still to be checked.

    Of the AI SDK's messages only text and image files count, and for the agent the tool calls of a run that goes on.
    From the second turn on they carry more (`step-start`, `reasoning`, tool parts, metadata); that and every key
    outside `known` is left out, as the SDK itself and its users add keys at will.

    Raises:
        InvalidRequest: a message or part has no such form, or a user's file is no image: it would be lost silently.
    """
    kept = {name: value for name, value in body.items() if name in known}
    kept.setdefault("stream", True)
    kept["messages"] = [
        message for index, one in enumerate(body["messages"]) if (message := _message(one, f"messages.{index}"))
    ]
    if "steps" in known and "steps" not in kept:
        last = body["messages"][-1]
        kept["steps"] = _steps(last)
        if kept["steps"]:
            # The frontend goes on with the message that it has.
            kept["continues"] = last.get("id")
    return kept


def _steps(last: Any) -> list[dict[str, Any]]:
    """The tool calls of a run that goes on: those of the last message, when it is the assistant's."""
    if not isinstance(last, dict) or last.get("role") != "assistant":
        return []
    calls: dict[Any, dict[str, Any]] = {}
    for part in last.get("parts", ()):
        # Of two parts of one call the one with its result counts.
        if (call := _past_call(part)) and (call["id"] not in calls or len(call) > len(calls[call["id"]])):
            calls[call["id"]] = call
    return [{"tool_calls": list(calls.values())}] if calls else []


def _past_call(part: dict[str, Any]) -> dict[str, Any] | None:
    kind = part["type"]
    if kind != "dynamic-tool" and not kind.startswith("tool-"):
        return None
    call = {
        "id": part.get("toolCallId"),
        "name": part.get("toolName") if kind == "dynamic-tool" else kind.removeprefix("tool-"),
        "arguments": part.get("input", {}),
    }
    match part.get("state"):
        case "output-available":
            output = part.get("output")
            call["output"] = output if isinstance(output, str) else to_json(output).decode()
        case "output-error":
            call["error"] = part.get("errorText")
    return call


def _message(message: Any, place: str) -> dict[str, Any] | None:
    if not isinstance(message, dict) or not isinstance(message.get("parts"), list):
        raise InvalidRequest(f"{place}: must be an object with a list of parts, as every other message here.")
    role = message.get("role")
    parts = [_part(part, role, f"{place}.parts.{index}") for index, part in enumerate(message["parts"])]
    content = [part for part in parts if part]
    # A turn that held only reasoning or tools says nothing that this endpoint could use.
    return {"role": role, "content": content} if content or role != "assistant" else None


def _part(part: Any, role: Any, place: str) -> dict[str, Any] | None:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise InvalidRequest(f"{place}: must be an object with a type.")
    match part["type"]:
        case "text":
            text = part.get("text")
            return {"type": "text", "text": text} if text != "" else None
        case "file" if role == "user":
            media_type = part.get("mediaType")
            if not isinstance(media_type, str) or not media_type.startswith("image/"):
                raise InvalidRequest(f"{place}: only image files can be read here.")
            return {"type": "image_url", "image_url": {"url": part.get("url")}}
    return None
