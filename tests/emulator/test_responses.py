"""The Responses API, as the unmodified openai client meets it."""

from __future__ import annotations

import base64
import json
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError
from openai.types.responses import ResponseFunctionToolCall, ResponseReasoningItem

from dev.emulator import Emulators

MODEL = "gpt-4.1-mini"
THINKER = "gpt-5.4-mini"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CLOCK: dict[str, Any] = {
    "type": "function",
    "name": "current_time",
    "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
}


async def told(client: AsyncOpenAI, **body: Any) -> list[Any]:
    """All events of a streamed response."""
    stream = await client.responses.create(**{"model": MODEL, "input": "Hello there", **body}, stream=True)
    async with stream:
        return [event async for event in stream]


async def test_the_answer_speaks_of_what_was_sent(client: AsyncOpenAI) -> None:
    picture = {"type": "input_image", "image_url": f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"}
    far = {"type": "input_image", "image_url": "https://example.com/a.png"}
    asked: Any = [
        {"role": "user", "content": "Ahoy"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "Arr"}]},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is this?"},
                picture,
                far,
                {"type": "input_image", "file_id": "file-1"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
            ],
        },
    ]
    response = await client.responses.create(model=MODEL, instructions="You are a pirate.", input=asked)
    text = response.output_text
    assert f"{MODEL} was sent 3 messages" in text
    assert "“What is this?”" in text
    assert f"image/png of 1 x 1 pixels, {len(PIXEL)} bytes" in text
    assert "https://example.com/a.png, not fetched" in text
    assert "“You are a pirate.”" in text
    assert response.status == "completed"
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


async def test_the_same_question_has_the_same_answer(client: AsyncOpenAI) -> None:
    first, second = [await client.responses.create(model=MODEL, input="Hello") for _ in range(2)]
    assert first.output_text == second.output_text
    assert first.id != second.id


async def test_a_stream_tells_the_answer_word_by_word_in_the_services_order(client: AsyncOpenAI) -> None:
    events = await told(client)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert len(deltas) > 5
    assert all(len(delta.split()) == 1 for delta in deltas)
    final = events[-1].response
    assert final.output_text == "".join(deltas) == events[-4].text
    assert final.usage.output_tokens == len(deltas)
    assert events[0].response.usage is None


async def test_a_stream_names_each_event_and_ends_without_done(http: aiohttp.ClientSession) -> None:
    async with http.post("responses", json={"model": MODEL, "input": "Hi", "stream": True}) as answer:
        assert answer.content_type == "text/event-stream"
        frames = (await answer.text()).split("\n\n")
    assert frames.pop() == ""
    for frame in frames:
        event, data = frame.split("\n")
        assert json.loads(data.removeprefix("data: "))["type"] == event.removeprefix("event: ")
    assert "[DONE]" not in frames[-1]


async def test_a_long_answer_stops_at_max_output_tokens(client: AsyncOpenAI) -> None:
    events = await told(client, input="word " * 40, max_output_tokens=16)
    final = events[-1]
    assert final.type == "response.incomplete"
    assert final.response.incomplete_details.reason == "max_output_tokens"
    assert final.response.output[0].status == "incomplete"
    assert final.response.usage.output_tokens == 16


async def test_a_very_long_message_is_quoted_in_part(client: AsyncOpenAI) -> None:
    response = await client.responses.create(model=MODEL, input="x" * 5_000)
    assert 2_000 < len(response.output_text) < 2_200


async def test_a_message_without_text_is_called_so(client: AsyncOpenAI) -> None:
    response = await client.responses.create(model=MODEL, input=[{"role": "user", "content": []}])
    assert "no text" in response.output_text


async def test_a_reasoning_deployment_reasons_first_and_seals_it_on_demand(
    emulators: Emulators, client: AsyncOpenAI
) -> None:
    events = await told(
        client, model=THINKER, store=False, include=["reasoning.encrypted_content"], reasoning={"summary": "auto"}
    )
    thought, message = events[-1].response.output
    assert isinstance(thought, ResponseReasoningItem)
    assert thought.encrypted_content
    summary = "".join(each.delta for each in events if each.type == "response.reasoning_summary_text.delta")
    assert summary == thought.summary[0].text
    assert events[-1].response.usage.output_tokens_details.reasoning_tokens > 0
    again: list[Any] = [
        {"role": "user", "content": "Hello"},
        {"type": "reasoning", "id": thought.id, "summary": [], "encrypted_content": thought.encrypted_content},
        {"role": "assistant", "content": [{"type": "output_text", "text": message.content[0].text}]},
        {"role": "user", "content": "And again"},
    ]
    await client.responses.create(model=THINKER, input=again)
    emulators.openai.resource = "another"
    with pytest.raises(BadRequestError) as caught:
        await client.responses.create(model=THINKER, input=again)
    assert caught.value.code == "invalid_encrypted_content"


async def test_reasoning_is_neither_told_nor_sealed_unless_asked_for(client: AsyncOpenAI) -> None:
    thought, _ = (await client.responses.create(model=THINKER, input="Hello")).output
    assert isinstance(thought, ResponseReasoningItem)
    assert (thought.summary, thought.encrypted_content) == ([], None)


async def test_a_stored_response_can_be_read_continued_and_deleted(client: AsyncOpenAI) -> None:
    first = await client.responses.create(model=MODEL, input="One")
    assert (await client.responses.retrieve(first.id)).output_text == first.output_text
    second = await client.responses.create(model=MODEL, input="Two", previous_response_id=first.id)
    assert "was sent 3 messages" in second.output_text
    third = await client.responses.create(
        model=MODEL, input=[{"role": "user", "content": "Three"}], previous_response_id=second.id
    )
    assert "was sent 5 messages" in third.output_text
    await client.responses.delete(first.id)
    with pytest.raises(NotFoundError):
        await client.responses.retrieve(first.id)


async def test_what_is_not_to_be_stored_is_not(client: AsyncOpenAI) -> None:
    first = await client.responses.create(model=MODEL, input="One", store=False)
    assert not first.store  # type: ignore[attr-defined]
    with pytest.raises(NotFoundError):
        await client.responses.retrieve(first.id)
    with pytest.raises(BadRequestError) as caught:
        await client.responses.create(model=MODEL, input="Two", previous_response_id=first.id)
    assert caught.value.code == "previous_response_not_found"


async def test_only_the_latest_are_kept(emulators: Emulators, client: AsyncOpenAI) -> None:
    emulators.openai.keep = 2
    made = [await client.responses.create(model=MODEL, input=str(number)) for number in range(3)]
    assert [each.json()["input"] for each in emulators.openai.requests] == ["1", "2"]
    with pytest.raises(NotFoundError):
        await client.responses.retrieve(made[0].id)


async def test_tools_named_by_the_question_are_called_in_parallel_and_then_quoted(client: AsyncOpenAI) -> None:
    tools: Any = [WEATHER, CLOCK]
    question: Any = {"role": "user", "content": "How is the weather in Paris, and what time is it in Asia/Tokyo?"}
    first = await client.responses.create(model=MODEL, input=[question], tools=tools)
    calls = [item for item in first.output if isinstance(item, ResponseFunctionToolCall)]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        ("get_weather", {"city": "Paris"}),
        ("current_time", {"zone": "Asia/Tokyo"}),
    ]
    outputs = [
        {"type": "function_call_output", "call_id": calls[0].call_id, "output": "rain"},
        {"type": "function_call_output", "call_id": calls[1].call_id, "output": [{"type": "input_text", "text": "9"}]},
    ]
    history: Any = [question, *(call.to_dict() for call in calls), *outputs]
    second = await client.responses.create(model=MODEL, input=history, tools=tools)
    assert "get_weather gave rain" in second.output_text
    assert 'current_time gave [{"type": "input_text", "text": "9"}]' in second.output_text
    history += [
        {"role": "assistant", "content": second.output_text},
        {"role": "user", "content": "And the weather in Oslo?"},
    ]
    third = await client.responses.create(model=MODEL, input=history, tools=tools)
    (call,) = third.output
    assert isinstance(call, ResponseFunctionToolCall)
    assert json.loads(call.arguments) == {"city": "Oslo"}


async def test_a_streamed_call_tells_its_arguments_in_pieces(client: AsyncOpenAI) -> None:
    events = await told(client, input="What is the weather in Rome?", tools=[WEATHER])
    deltas = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    done = next(event for event in events if event.type == "response.function_call_arguments.done")
    call = events[-1].response.output[0]
    assert len(deltas) > 1
    assert "".join(deltas) == done.arguments == call.arguments == '{"city": "Rome"}'
    assert call.call_id.startswith("call_")


async def test_an_answer_to_a_schema_fits_it(client: AsyncOpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 18}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    wanted: Any = {"format": {"type": "json_schema", "name": "person", "schema": schema, "strict": True}}
    response = await client.responses.create(model=MODEL, input="Someone", text=wanted)
    assert json.loads(response.output_text) == {"name": "text", "age": 18}


async def test_an_answer_in_any_json_is_an_object(client: AsyncOpenAI) -> None:
    response = await client.responses.create(
        model=MODEL, input="Say it in JSON", text={"format": {"type": "json_object"}}
    )
    assert "Say it in JSON" in json.loads(response.output_text)["answer"]
