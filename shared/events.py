"""The words that chat, images and the agent speak: what happens in an answer, in order.

A sequence of events starts with `Started` and ends with exactly one of `Finished` and `Failed`. A dialect turns it
into bytes, one event at a time or folded into one answer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal

from shared.errors import AppError

FinishReason = Literal["stop", "length", "content_filter", "tool_calls"]


@dataclass(frozen=True, slots=True)
class Started:
    """The model has begun. `id` is this answer's, `model` the name the caller knows; `deployment` is for the log."""

    id: str
    model: str
    deployment: str


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
    """The answer is complete, or cut at a limit or by the content filter. Terminal."""

    reason: FinishReason
    usage: Usage


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer broke off. Terminal."""

    error: AppError


Event = Started | PictureTaken | TextDelta | ReasoningDelta | Finished | Failed
Events = AsyncGenerator[Event, None]
