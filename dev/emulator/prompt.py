"""What a caller asked, the same for the Responses API and for chat completions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dev.emulator.images import Picture


@dataclass(frozen=True)
class Tool:
    """A function that the caller offers; `parameters` is its JSON schema."""

    name: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class ToolOutput:
    """What a called function gave back."""

    name: str
    text: str


@dataclass(frozen=True)
class Prompt:
    """A checked request.

    messages: how many it holds. user_text: the text of the user's last one. outputs: of the functions called since.
    tool_choice: "auto", "none", "required" or a function's name. schema: the JSON schema of the answer, {} for any
    JSON, None for text. max_tokens: the cap on the answer, one token a word here.
    """

    deployment: str
    messages: int
    user_text: str
    instructions: str = ""
    pictures: tuple[Picture, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    parallel: bool = True
    outputs: tuple[ToolOutput, ...] = ()
    schema: Mapping[str, Any] | None = None
    max_tokens: int | None = None
    input_tokens: int = 0
