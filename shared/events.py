"""The words that chat, images and the agent speak: what happens in an answer, in order.

A sequence of events starts with `Started` and ends with exactly one of `Finished` and `Failed`. A dialect turns it
into bytes, one event at a time or folded into one answer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Literal

from shared.errors import AppError

FinishReason = Literal["stop", "length", "content_filter", "tool_calls"]


@dataclass(frozen=True, slots=True)
class Started:
    """The model has begun. `id` is this answer's, `model` the name the caller knows.

    `deployment` and `endpoint` tell which deployment of which resource answers: for the log, and for a run whose next
    turn should go to the same resource. `resumed` says that a run goes on, before its next step.
    """

    id: str
    model: str
    deployment: str
    endpoint: str = ""
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """The next piece of the model's summary of its reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class PictureTaken:
    """A picture as the model gets it: its type, its size in pixels and bytes, and what was changed for it."""

    media_type: str
    width: int
    height: int
    bytes: int
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OutputItem:
    """An item of the model's output as the Responses API has it. For the agent alone; no dialect is told."""

    item: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StepStarted:
    """The agent's next step begins: another turn of the model. The first begins with `Started`."""


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The model calls a tool. `arguments` are decoded, or the text itself where it is no JSON object.

    `resumed` says that an earlier answer told the call, which is now decided.
    """

    id: str
    name: str
    arguments: dict[str, Any] | str
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class ToolReturned:
    """A call's one result: `output`, or an `error` for the model to read. `ms` is how long it took."""

    id: str
    output: str | None
    error: str | None
    ms: float


@dataclass(frozen=True, slots=True)
class ApprovalNeeded:
    """A call that waits for a person. `sha256` is that of its arguments, which an approval repeats."""

    id: str
    name: str
    arguments: dict[str, Any]
    sha256: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens spent. `cached_tokens` are part of the input, `reasoning_tokens` part of the output."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete, or cut at a limit or by the content filter. Terminal.

    `stopped_by` is the guard that ended an agent's run, if one did.
    """

    reason: FinishReason
    usage: Usage
    stopped_by: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer broke off. Terminal."""

    error: AppError


ToolEvent = StepStarted | ToolCalled | ToolReturned | ApprovalNeeded
Event = Started | PictureTaken | TextDelta | ReasoningDelta | OutputItem | ToolEvent | Finished | Failed
Events = AsyncGenerator[Event, None]
