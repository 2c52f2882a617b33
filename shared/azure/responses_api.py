"""The Responses API's words: a turn as a request body, the stream's events as this app's events.

Source: https://platform.openai.com/docs/api-reference/responses-streaming; Azure serves the same under /openai/v1/.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from shared.chat_request import Message, TextPart
from shared.errors import AppError, ContentFiltered, RateLimited, UpstreamInterrupted, UpstreamUnavailable
from shared.events import Event, Finished, FinishReason, OutputItem, ReasoningDelta, Started, TextDelta, Usage
from shared.model_settings import ReasoningEffort
from shared.models import Deployment, Model
from shared.requests import JsonSchemaFormat, Options, ResponseFormat
from shared.sse import ServerSentEvent

if TYPE_CHECKING:
    from shared.settings import Settings


TOKENS_OF_A_PICTURE = 1_000


@dataclass(frozen=True, slots=True)
class Turn:
    """One call of a model, whichever endpoint makes it. `id` is the answer's; limits and defaults are settled."""

    id: str
    model: Model
    input: Sequence[dict[str, Any]]
    max_output_tokens: int
    instructions: str | None = None
    temperature: float | None = None
    reasoning_effort: ReasoningEffort | None = None
    reasoning_summary: str | None = None
    response_format: ResponseFormat | None = None
    tools: Sequence[dict[str, Any]] = ()
    tools_off: bool = False

    @property
    def reasons(self) -> bool:
        """Whether the input holds a model's encrypted reasoning, which only the resource that made it understands."""
        return any(item.get("type") == "reasoning" for item in self.input)

    @property
    def tokens(self) -> int:
        """About how many tokens it may use, as Azure reckons them beforehand: all that is said, and the limit."""
        return _tokens(self.instructions) + _tokens(self.input) + self.max_output_tokens

    def body(self, deployment: str, *, keep_reasoning: bool = True) -> dict[str, Any]:
        """The request's body. Nothing of the caller's is stored upstream."""
        body: dict[str, Any] = {
            "model": deployment,
            "input": list(self.input) if keep_reasoning else without_reasoning(self.input),
            "max_output_tokens": self.max_output_tokens,
            "stream": True,
            "store": False,
        }
        if self.instructions:
            body["instructions"] = self.instructions
        if self.model.family == "reasoning":
            asked = {"effort": self.reasoning_effort, "summary": self.reasoning_summary}
            if reasoning := {name: value for name, value in asked.items() if value}:
                body["reasoning"] = reasoning
        elif self.temperature is not None:
            body["temperature"] = self.temperature
        if self.tools:
            body["tools"] = list(self.tools)
            body["parallel_tool_calls"] = True
            if self.tools_off:
                # They stay listed, as the conversation holds calls of them.
                body["tool_choice"] = "none"
            if self.model.family == "reasoning":
                # Nothing is stored upstream: what the model thought is carried from turn to turn by the caller.
                body["include"] = ["reasoning.encrypted_content"]
        if self.response_format is not None:
            body["text"] = {"format": _text_format(self.response_format)}
        return body


def turn(
    answer_id: str,
    options: Options,
    model: Model,
    settings: Settings,
    items: Sequence[dict[str, Any]],
    instructions: str | None = None,
) -> Turn:
    """The turn that a request asks for, with the model's defaults and within its caps."""
    return Turn(
        id=answer_id,
        model=model,
        input=items,
        max_output_tokens=model.tokens_for(options.max_output_tokens),
        instructions=instructions or settings.default_instructions or None,
        temperature=model.temperature_for(options.temperature),
        reasoning_effort=model.effort_for(options.reasoning_effort),
        reasoning_summary=settings.reasoning_summary or None,
        response_format=options.response_format,
    )


def without_reasoning(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items that any resource understands."""
    # An item's id would name reasoning that is no longer there.
    return [
        {name: value for name, value in item.items() if name != "id"}
        for item in items
        if item.get("type") != "reasoning"
    ]


def _tokens(said: Any) -> int:
    """Four characters of text are about a token; a picture is taken for a large one."""
    if isinstance(said, str):
        return TOKENS_OF_A_PICTURE if said.startswith("data:image/") else len(said) // 4
    if isinstance(said, dict):
        return sum(_tokens(value) for name, value in said.items() if name not in ("type", "role", "detail"))
    return sum(map(_tokens, said)) if isinstance(said, list | tuple) else 0


def message_item(message: Message, image_urls: Iterator[str]) -> dict[str, Any]:
    """A message of a conversation; each of its images takes the next of `image_urls`."""
    text_type = "output_text" if message.role == "assistant" else "input_text"
    content = [
        {"type": text_type, "text": part.text}
        if isinstance(part, TextPart)
        else image_part(next(image_urls), part.image_url.detail)
        for part in message.parts
    ]
    return {"type": "message", "role": message.role, "content": content}


def image_part(url: str, detail: str) -> dict[str, Any]:
    """An image in a user's message."""
    return {"type": "input_image", "image_url": url, "detail": detail}


def call_item(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """A tool call that the model made."""
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def output_item(call_id: str, output: str) -> dict[str, Any]:
    """A tool call's result."""
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def user_message(text: str, parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A user's message: a text, and what belongs to it."""
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}, *parts]}


def _text_format(asked: ResponseFormat) -> dict[str, Any]:
    if isinstance(asked, JsonSchemaFormat):
        return {"type": "json_schema", **asked.json_schema.model_dump(by_alias=True, exclude_none=True)}
    return {"type": asked.type}


@dataclass(slots=True)
class Reading:
    """Reads one stream of the Responses API. `done` is true once its terminal event came."""

    turn: Turn
    deployment: Deployment
    done: bool = False
    _started: bool = field(default=False)

    def read(self, sent: ServerSentEvent) -> Iterator[Event]:
        """What one event of the stream says; most say nothing that a caller needs.

        Raises:
            UpstreamInterrupted: the event makes no sense.
            AppError: the stream says that the answer failed.
        """
        if self.done or sent.data == "[DONE]":
            return
        try:
            event = from_json(sent.data)
            kind = event["type"]
        except (ValueError, TypeError, KeyError):
            raise UpstreamInterrupted from None
        try:
            said = list(self._event(kind, event))
        except (TypeError, KeyError, AttributeError, ValueError, OverflowError):
            raise UpstreamInterrupted from None
        # An answer whose first event is a failure has not begun: another deployment may give one.
        if not self._started:
            self._started = True
            yield Started(self.turn.id, self.turn.model.name, self.deployment.name, self.deployment.endpoint)
        yield from said

    def _event(self, kind: str, event: dict[str, Any]) -> Iterator[Event]:
        match kind:
            case "response.output_text.delta" | "response.refusal.delta":
                if text := _text(event):
                    yield TextDelta(text)
            case "response.reasoning_summary_text.delta":
                if text := _text(event):
                    yield ReasoningDelta(text)
            case "response.output_item.done" if self.turn.tools:
                yield OutputItem(event["item"])
            case "response.completed" | "response.incomplete":
                self.done = True
                response = event["response"]
                yield Finished(_finish_reason(kind, response), _usage(response.get("usage") or {}))
            case "response.failed":
                self.done = True
                raise _failure((event["response"].get("error") or {}).get("code"))
            case "error":
                self.done = True
                # Some deployments nest the error as the HTTP body does.
                raise _failure(event.get("code") or (event.get("error") or {}).get("code"))


def _text(event: dict[str, Any]) -> str:
    # With the asynchronous content filter some events carry filter results and no delta.
    delta = event.get("delta", "")
    if not isinstance(delta, str):
        raise TypeError
    return delta


def _finish_reason(kind: str, response: dict[str, Any]) -> FinishReason:
    if kind == "response.completed":
        return "stop"
    why = (response.get("incomplete_details") or {}).get("reason")
    return "content_filter" if why == "content_filter" else "length"


def _usage(usage: dict[str, Any]) -> Usage:
    return Usage(
        input_tokens=int(usage.get("input_tokens") or 0),
        output_tokens=int(usage.get("output_tokens") or 0),
        cached_tokens=int((usage.get("input_tokens_details") or {}).get("cached_tokens") or 0),
        reasoning_tokens=int((usage.get("output_tokens_details") or {}).get("reasoning_tokens") or 0),
    )


def _failure(code: Any) -> AppError:
    if code == "rate_limit_exceeded":
        return RateLimited()
    if code in ("content_filter", "content_policy_violation"):
        return ContentFiltered()
    return UpstreamUnavailable()
