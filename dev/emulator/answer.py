"""The answer of the emulated model, before it is told in either API's words."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dev.emulator import calls
from dev.emulator.prompt import Prompt
from dev.emulator.schema import instance
from dev.emulator.script import OpenAIStep


@dataclass(frozen=True)
class Call:
    """A function that the model calls; `arguments` is text, JSON if the model is in its senses."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Usage:
    """Tokens: `cached` are among the input's, `reasoning` among the output's."""

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class Answer:
    """What the model says: reasoning (None: none; its text may be empty), a text in chunks, and calls.

    finish: stop, length, content_filter, tool_calls, failed or error. usage: None when none is to be told.
    """

    chunks: tuple[str, ...]
    calls: tuple[Call, ...] = ()
    reasoning: str | None = None
    finish: str = "stop"
    usage: Usage | None = None
    quirks: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.chunks)


QUOTED = 2_000

_numbers = itertools.count(1)


def answer(prompt: Prompt, step: OpenAIStep, *, reasons: bool) -> Answer:
    """Answer as the step says, or by the default rules; `reasons` for a deployment of a reasoning family."""
    said = _scripted(step) if step.answers else _default(prompt)
    if step.reasoning is not None:
        said = replace(said, reasoning=step.reasoning)
    elif reasons:
        said = replace(said, reasoning=f"The user wrote {len(prompt.user_text)} characters.")
    if step.finish is not None:
        said = replace(said, finish=step.finish)
    if step.content_filter == "output":
        said = replace(said, finish="content_filter", chunks=said.chunks[: max(1, len(said.chunks) // 2)])
    return replace(said, quirks=step.quirks, usage=_usage(prompt, said, step.usage))


def _scripted(step: OpenAIStep) -> Answer:
    chunks = step.chunks if step.chunks is not None else words(step.text or "")
    called = []
    for given in step.tool_calls:
        arguments = given.get("arguments", {})
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        called.append(Call(given.get("id") or _call_id(), given["name"], text))
    return Answer(chunks, tuple(called), finish="tool_calls" if called else "stop")


def _default(prompt: Prompt) -> Answer:
    called = tuple(Call(_call_id(), name, arguments) for name, arguments in calls.wanted(prompt))
    if called:
        return Answer((), called, finish="tool_calls")
    chunks = words(_json(prompt) if prompt.schema is not None else describe(prompt))
    if prompt.max_tokens is not None and len(chunks) > prompt.max_tokens:
        return Answer(chunks[: prompt.max_tokens], finish="length")
    return Answer(chunks)


def describe(prompt: Prompt) -> str:
    """Say what was sent, so that whoever reads the answer sees what arrived."""
    if prompt.outputs:
        told = "; ".join(f"{output.name} gave {output.text}" for output in prompt.outputs)
        return f"The tools answered: {told}."
    many = "message" if prompt.messages == 1 else "messages"
    said = [f"This is the local emulator. {prompt.deployment} was sent {prompt.messages} {many}."]
    quoted = prompt.user_text if len(prompt.user_text) <= QUOTED else prompt.user_text[:QUOTED] + " …"
    said.append(f"The last one says: “{quoted}”." if quoted else "The last one has no text.")
    if prompt.pictures:
        many = "image" if len(prompt.pictures) == 1 else "images"
        said.append(f"With {len(prompt.pictures)} {many}: {'; '.join(map(str, prompt.pictures))}.")
    if prompt.instructions:
        first = " ".join(prompt.instructions.split()[:8])
        said.append(f"The instructions begin: “{first}”.")
    if prompt.tools:
        said.append(f"Tools on offer: {', '.join(tool.name for tool in prompt.tools)}.")
    return " ".join(said)


def _json(prompt: Prompt) -> str:
    value: Any = instance(prompt.schema) if prompt.schema else {"answer": describe(prompt)}
    return json.dumps(value, ensure_ascii=False)


def words(text: str) -> tuple[str, ...]:
    """Cut a text into its words, each with the space before it; together they are the text again."""
    return tuple(re.findall(r"\s*\S+(?:\s+$)?|\s+", text))


def _call_id() -> str:
    return f"call_{next(_numbers):024d}"


def _usage(prompt: Prompt, said: Answer, scripted: Mapping[str, Any] | None) -> Usage | None:
    if scripted is None:
        return None
    thought = 0 if said.reasoning is None else 8 * (1 + len(words(said.reasoning)) // 8)
    spoken = len(said.chunks) + sum(8 + len(call.arguments) // 4 for call in said.calls)
    return Usage(
        input=scripted.get("input_tokens", scripted.get("prompt_tokens", prompt.input_tokens)),
        output=scripted.get("output_tokens", scripted.get("completion_tokens", spoken + thought)),
        cached=scripted.get("cached_tokens", _detail(scripted, "cached_tokens", 0)),
        reasoning=scripted.get("reasoning_tokens", _detail(scripted, "reasoning_tokens", thought)),
    )


def _detail(scripted: Mapping[str, Any], name: str, default: int) -> int:
    for group in (
        "input_tokens_details",
        "output_tokens_details",
        "prompt_tokens_details",
        "completion_tokens_details",
    ):
        if name in scripted.get(group, {}):
            return int(scripted[group][name])
    return default
