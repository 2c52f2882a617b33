"""Chat completions, as the unmodified openai client meets them, with what Azure adds."""

from __future__ import annotations

import base64
import json
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI

from dev.emulator import Emulators

MODEL = "gpt-4.1-mini"
GIF = b"GIF89a\x03\x00\x02\x00"
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


async def told(client: AsyncOpenAI, **body: Any) -> list[Any]:
    """All chunks of a streamed completion."""
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "Hello there"}], **body}
    stream = await client.chat.completions.create(**asked, stream=True)
    async with stream:
        return [chunk async for chunk in stream]


async def test_the_answer_speaks_of_what_was_sent(client: AsyncOpenAI) -> None:
    url = f"data:image/gif;base64,{base64.b64encode(GIF).decode()}"
    completion = await client.chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "system", "content": "You are a pirate."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "Ahoy"}, {"type": "image_url", "image_url": {"url": url}}],
            },
        ],
    )
    text = completion.choices[0].message.content or ""
    assert f"{MODEL} was sent 2 messages" in text
    assert "“Ahoy”" in text
    assert "With 1 image: image/gif of 3 x 2 pixels, 10 bytes" in text
    assert "“You are a pirate.”" in text
    assert completion.model == "gpt-4.1-mini-2025-04-14"
    assert completion.choices[0].finish_reason == "stop"
    extra: Any = completion.model_extra
    assert extra["prompt_filter_results"][0]["content_filter_results"]["hate"]["severity"] == "safe"
    assert completion.usage is not None
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens


async def test_a_stream_opens_with_azures_chunk_without_choices_and_ends_with_its_finish(client: AsyncOpenAI) -> None:
    chunks = await told(client)
    assert chunks[0].choices == []
    assert chunks[0].model_extra["prompt_filter_results"]
    assert chunks[1].choices[0].delta.role == "assistant"
    words = [chunk.choices[0].delta.content for chunk in chunks[2:-1]]
    assert len(words) > 5
    assert "“Hello there”" in "".join(words)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


async def test_usage_comes_last_when_asked_for(client: AsyncOpenAI) -> None:
    chunks = await told(client, stream_options={"include_usage": True})
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == len(chunks) - 4


async def test_a_stream_ends_with_done(http: aiohttp.ClientSession) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    async with http.post("chat/completions", json=body) as answer:
        text = await answer.text()
    assert text.endswith("data: [DONE]\n\n")
    assert "event:" not in text


async def test_the_lower_of_both_caps_cuts_the_answer(client: AsyncOpenAI) -> None:
    chunks = await told(client, max_tokens=9, max_completion_tokens=3)
    assert chunks[-1].choices[0].finish_reason == "length"
    assert len(chunks) == 6


async def test_a_tool_named_by_the_question_is_called_and_then_quoted(client: AsyncOpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "Is the weather fine in New York today?"}]
    tools: Any = [WEATHER, {"type": "custom", "custom": {"name": "other"}}]
    first = await client.chat.completions.create(model=MODEL, messages=messages, tools=tools)
    assert first.choices[0].finish_reason == "tool_calls"
    message = first.choices[0].message
    assert message.content is None
    assert message.tool_calls is not None
    (call,) = message.tool_calls
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"city": "New York"}
    messages += [message.to_dict(), {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    second = await client.chat.completions.create(model=MODEL, messages=messages, tools=tools)
    assert second.choices[0].message.content == "The tools answered: get_weather gave sunny."


async def test_a_streamed_call_opens_with_its_id_and_name_and_goes_on_in_pieces(client: AsyncOpenAI) -> None:
    question = [{"role": "user", "content": "What is the weather in Rome?"}]
    chunks = await told(client, messages=question, tools=[WEATHER])
    parts = [chunk.choices[0].delta.tool_calls[0] for chunk in chunks[2:-1]]
    assert parts[0].id
    assert parts[0].function.name == "get_weather"
    assert {part.index for part in parts} == {0}
    assert len(parts) > 2
    assert "".join(part.function.arguments for part in parts) == '{"city": "Rome"}'
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


async def test_an_answer_to_a_schema_fits_it(client: AsyncOpenAI) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema}}
    completion = await client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Well?"}], response_format=wanted
    )
    assert json.loads(completion.choices[0].message.content or "") == {"ok": True}


async def test_reasoning_tokens_are_counted_for_a_reasoning_deployment(client: AsyncOpenAI) -> None:
    completion = await client.chat.completions.create(
        model="gpt-5.4-mini",
        messages=[{"role": "developer", "content": "Think."}, {"role": "user", "content": "Hello"}],
        reasoning_effort="low",
        max_completion_tokens=500,
    )
    assert completion.usage is not None
    assert completion.usage.completion_tokens_details is not None
    assert (completion.usage.completion_tokens_details.reasoning_tokens or 0) > 0


@pytest.mark.parametrize("quirk", ["prompt-filter-chunk", "missing-delta", "no-finish"])
async def test_a_quirk_is_mixed_into_a_good_answer(
    emulators: Emulators, http: aiohttp.ClientSession, quirk: str
) -> None:
    emulators.openai.script({"text": "one two three", "quirks": [quirk]})
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    async with http.post("chat/completions", json=body) as answer:
        frames = [line.removeprefix("data: ") for line in (await answer.text()).split("\n\n") if line]
    assert frames.pop() == "[DONE]"
    chunks = [json.loads(frame) for frame in frames]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert "".join(choice.get("delta", {}).get("content") or "" for choice in choices) == "one two three"
    assert sum(not chunk["choices"] for chunk in chunks) == 1 + (quirk == "prompt-filter-chunk")
    assert sum("delta" not in choice for choice in choices) == (quirk == "missing-delta")
    assert any(choice["finish_reason"] for choice in choices) == (quirk != "no-finish")
