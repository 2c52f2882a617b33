"""Scripted answers and faults of the emulated Azure OpenAI, and how it sees callers leave."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import ResponseFunctionToolCall

from dev.emulator import Emulators
from dev.emulator.script import BadStep

MODEL = "gpt-4.1-mini"
ASKED: dict[str, Any] = {"model": MODEL, "input": "Hello"}
STREAMED = {**ASKED, "stream": True}
CHAT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}


async def events(http: aiohttp.ClientSession) -> list[dict[str, Any]]:
    """The events of a streamed response, up to wherever it ends."""
    async with http.post("responses", json=STREAMED) as answer:
        frames = (await answer.text()).split("\n\n")
    return [json.loads(frame.split("data: ", 1)[1]) for frame in frames if frame]


def deltas(told: list[dict[str, Any]]) -> list[str]:
    """The text deltas among events."""
    return [event["delta"] for event in told if event["type"] == "response.output_text.delta"]


async def test_a_scripted_text_is_the_answer_of_one_request(emulators: Emulators, client: AsyncOpenAI) -> None:
    usage = {"input_tokens": 11, "output_tokens": 7, "cached_tokens": 5, "reasoning_tokens": 2}
    emulators.openai.script({"text": "Good day", "usage": usage})
    response = await client.responses.create(**ASKED)
    assert response.output_text == "Good day"
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (11, 7)
    assert response.usage.input_tokens_details.cached_tokens == 5
    assert response.usage.output_tokens_details.reasoning_tokens == 2
    assert "local emulator" in (await client.responses.create(**ASKED)).output_text


async def test_usage_is_understood_in_the_words_of_either_api(emulators: Emulators, client: AsyncOpenAI) -> None:
    usage = {"prompt_tokens": 4, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}
    emulators.openai.script({"text": "x", "usage": usage}, {"text": "x", "usage": None})
    completion = await client.chat.completions.create(**CHAT)
    assert completion.usage is not None
    assert (completion.usage.total_tokens, completion.usage.prompt_tokens_details.cached_tokens) == (7, 2)
    assert (await client.chat.completions.create(**CHAT)).usage is None
    emulators.openai.script({"text": "x", "usage": None})
    assert (await client.responses.create(**ASKED)).usage is None


async def test_scripted_chunks_are_sent_as_they_are_cut(emulators: Emulators, http: aiohttp.ClientSession) -> None:
    emulators.openai.script({"chunks": ["Go", "od ", "day"]})
    assert deltas(await events(http)) == ["Go", "od ", "day"]


async def test_scripted_calls_and_reasoning_are_told(emulators: Emulators, client: AsyncOpenAI) -> None:
    calls = [{"name": "roll", "arguments": {"sides": 6}}, {"id": "call_x", "name": "roll", "arguments": "{broken"}]
    emulators.openai.script({"tool_calls": calls, "reasoning": "Two dice.", "text": "Rolling."})
    response = await client.responses.create(**ASKED, reasoning={"summary": "auto"})
    thought, message, first, second = response.output
    assert thought.type == "reasoning"
    assert thought.summary[0].text == "Two dice."
    assert message.type == "message"
    assert isinstance(first, ResponseFunctionToolCall)
    assert isinstance(second, ResponseFunctionToolCall)
    assert json.loads(first.arguments) == {"sides": 6}
    assert (second.call_id, second.arguments) == ("call_x", "{broken")


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", None),
    ],
)
async def test_a_scripted_finish_is_told_in_the_words_of_both_apis(
    emulators: Emulators, client: AsyncOpenAI, finish: str, status: str, reason: str | None
) -> None:
    emulators.openai.script_forever({"text": "One two", "finish": finish})
    response = await client.responses.create(**ASKED)
    assert response.status == status
    told = response.incomplete_details.reason if response.incomplete_details else None
    assert told == (reason or (finish if status == "incomplete" else None))
    assert (await client.chat.completions.create(**CHAT)).choices[0].finish_reason == finish


async def test_a_failed_answer_ends_in_response_failed(emulators: Emulators, http: aiohttp.ClientSession) -> None:
    emulators.openai.script({"text": "One two", "finish": "failed"}, {"text": "One two", "finish": "error"})
    failed = await events(http)
    assert failed[-1]["type"] == "response.failed"
    assert failed[-1]["response"]["error"]["code"] == "server_error"
    error = await events(http)
    assert (error[-1]["type"], error[-1]["code"]) == ("error", "server_error")


async def test_a_failed_completion_ends_in_an_error_and_no_done(
    emulators: Emulators, http: aiohttp.ClientSession
) -> None:
    emulators.openai.script({"text": "One two", "finish": "failed"})
    async with http.post("chat/completions", json={**CHAT, "stream": True}) as answer:
        frames = (await answer.text()).split("\n\n")
    assert json.loads(frames[-2].removeprefix("data: "))["error"]["code"] == "server_error"


async def test_a_scripted_429_brings_its_headers_and_azures_words(emulators: Emulators, client: AsyncOpenAI) -> None:
    emulators.openai.script({"status": 429, "headers": {"retry-after-ms": "1500", "retry-after": "2"}})
    with pytest.raises(openai.RateLimitError) as caught:
        await client.responses.create(**ASKED)
    assert caught.value.response.headers["retry-after-ms"] == "1500"
    assert caught.value.response.headers["apim-request-id"]
    assert caught.value.code == "RateLimitReached"


async def test_a_scripted_error_is_sent_as_it_is(emulators: Emulators, client: AsyncOpenAI) -> None:
    emulators.openai.script({"status": 500, "error": {"code": "boom", "message": "canary", "callstack": "x.cs:1"}})
    with pytest.raises(openai.InternalServerError) as caught:
        await client.responses.create(**ASKED)
    assert caught.value.body == {"code": "boom", "message": "canary", "callstack": "x.cs:1"}
    emulators.openai.script({"status": 418})
    with pytest.raises(openai.APIStatusError):
        await client.responses.create(**ASKED)


async def test_a_scripted_body_is_sent_as_it_is_with_its_status(
    emulators: Emulators, http: aiohttp.ClientSession
) -> None:
    emulators.openai.script(
        {"body": "{not json"}, {"status": 502, "body": "<html>", "headers": {"Content-Type": "text/html"}}
    )
    async with http.post("responses", json=ASKED) as answer:
        assert (answer.status, await answer.text()) == (200, "{not json")
    async with http.post("responses", json=ASKED) as answer:
        assert (answer.status, answer.content_type, await answer.text()) == (502, "text/html", "<html>")


@pytest.mark.parametrize("body", [ASKED, STREAMED])
async def test_a_reset_before_the_headers_is_no_answer(
    emulators: Emulators, client: AsyncOpenAI, body: dict[str, Any]
) -> None:
    emulators.openai.script({"reset": "before"})
    with pytest.raises(openai.APIConnectionError):
        await client.responses.create(**body)
    assert emulators.openai.wait_idle()
    assert emulators.openai.cancellations == 0


async def test_a_reset_mid_stream_breaks_off_after_some_text(emulators: Emulators, client: AsyncOpenAI) -> None:
    emulators.openai.script({"text": "one two three four", "reset": "mid", "after": 3})
    stream = aiter(await client.responses.create(**STREAMED))
    for _ in range(4 + 3):
        event = await anext(stream)
    assert (event.type, event.delta) == ("response.output_text.delta", " three")
    with pytest.raises(openai.APIConnectionError):
        await anext(stream)


async def test_a_reset_mid_answer_breaks_a_whole_answer_too(emulators: Emulators, http: aiohttp.ClientSession) -> None:
    emulators.openai.script({"reset": "mid"})
    async with http.post("responses", json=ASKED) as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientError):
            await answer.read()


@pytest.mark.parametrize(("asked", "got"), [(0, 0), (2, 2), (99, 4)])
async def test_a_truncated_stream_ends_cleanly_without_its_terminal_event(
    emulators: Emulators, http: aiohttp.ClientSession, asked: int, got: int
) -> None:
    emulators.openai.script({"text": "one two three four", "truncate": asked})
    told = await events(http)
    assert len(deltas(told)) == got
    assert not [event for event in told if event["type"] == "response.completed"]
    assert bool(told) == bool(got)


async def test_a_truncated_whole_answer_is_half_a_json(emulators: Emulators, http: aiohttp.ClientSession) -> None:
    emulators.openai.script({"truncate": 2})
    async with http.post("responses", json=ASKED) as answer:
        text = await answer.text()
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


async def test_raw_frames_are_sent_verbatim(emulators: Emulators, http: aiohttp.ClientSession) -> None:
    emulators.openai.script({"raw": ["data: {bad", "event: x", "data: 1", ": note", "data: a\n", "", "data: [DONE]"]})
    async with http.post("chat/completions", json={**CHAT, "stream": True}) as answer:
        assert answer.content_type == "text/event-stream"
        text = await answer.text()
    assert text == "data: {bad\n\nevent: x\ndata: 1\n\n: note\n\ndata: a\n\ndata: [DONE]\n\n"


async def test_a_redirect_points_elsewhere_and_answers_nothing(
    emulators: Emulators, http: aiohttp.ClientSession
) -> None:
    emulators.openai.script({"redirect": "https://elsewhere.example/"})
    async with http.post("responses", json=ASKED, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (307, "https://elsewhere.example/")


async def test_a_filtered_prompt_is_a_400_with_the_filters_verdicts(emulators: Emulators, client: AsyncOpenAI) -> None:
    emulators.openai.script({"content_filter": "prompt"})
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(**ASKED)
    assert caught.value.code == "content_filter"
    body: Any = caught.value.body
    assert body["innererror"]["content_filter_result"]["violence"] == {"filtered": True, "severity": "high"}


async def test_a_filtered_output_breaks_off_and_says_so(emulators: Emulators, client: AsyncOpenAI) -> None:
    emulators.openai.script_forever({"text": "one two three four", "content_filter": "output"})
    response = await client.responses.create(**ASKED)
    assert response.output_text == "one two"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "content_filter"
    choice: Any = (await client.chat.completions.create(**CHAT)).choices[0]
    assert choice.finish_reason == "content_filter"
    assert choice.content_filter_results["violence"]["filtered"] is True


@pytest.mark.parametrize("quirk", ["prompt-filter-chunk", "missing-delta", "no-finish"])
async def test_quirks_leave_the_streamed_response_whole(
    emulators: Emulators, http: aiohttp.ClientSession, quirk: str
) -> None:
    call = {"name": "roll", "arguments": {"sides": 6}}
    emulators.openai.script({"text": "one two three", "tool_calls": [call], "quirks": [quirk]})
    told = await events(http)
    texts = [event for event in told if event["type"] == "response.output_text.delta"]
    assert "".join(event.get("delta", "") for event in texts) == "one two three"
    assert sum("delta" not in event for event in texts) == (quirk == "missing-delta")
    dones = [event for event in told if event["type"] == "response.output_text.done"]
    assert bool(dones) == (quirk != "no-finish")
    assert told[-1]["type"] == "response.completed"


async def test_calls_alone_bring_no_message(emulators: Emulators, client: AsyncOpenAI) -> None:
    emulators.openai.script_forever({"tool_calls": [{"name": "roll"}]})
    assert [item.type for item in (await client.responses.create(**ASKED)).output] == ["function_call"]
    assert (await client.chat.completions.create(**CHAT)).choices[0].message.content is None


async def test_a_delay_only_delays(emulators: Emulators, client: AsyncOpenAI) -> None:
    emulators.openai.script({"delay": 0.01, "text": "late"})
    assert (await client.responses.create(**ASKED)).output_text == "late"


async def test_a_gate_before_the_headers_holds_the_whole_answer(emulators: Emulators, client: AsyncOpenAI) -> None:
    emulators.openai.script({"gate": "start", "text": "through"})
    asking = asyncio.create_task(client.responses.create(**ASKED))
    assert await asyncio.to_thread(emulators.openai.wait_gate, "start")
    assert emulators.openai.in_flight == 1
    assert not asking.done()
    emulators.openai.open_gate("start")
    assert (await asking).output_text == "through"
    assert emulators.openai.wait_idle()


async def test_a_gate_after_two_chunks_lets_two_chunks_through(
    emulators: Emulators, http: aiohttp.ClientSession
) -> None:
    emulators.openai.script({"text": "one two three", "gate": "rest", "after": 2})
    async with http.post("responses", json=STREAMED) as answer:
        seen = b""
        while b'"delta":" two"' not in seen:
            seen += await answer.content.readany()
        assert b"three" not in seen
        emulators.openai.open_gate("rest")
        assert b'"delta":" three"' in await answer.read()


async def test_an_open_gate_stays_open(emulators: Emulators, client: AsyncOpenAI) -> None:
    emulators.openai.open_gate("done")
    emulators.openai.script_forever({"gate": "done", "after": 99, "text": "through"})
    for _ in range(2):
        assert (await client.responses.create(**ASKED)).output_text == "through"


@pytest.mark.parametrize("step", [{"hang": True}, {"gate": "never"}])
async def test_a_caller_who_leaves_before_the_headers_is_seen(
    emulators: Emulators, http: aiohttp.ClientSession, step: dict[str, Any]
) -> None:
    emulators.openai.script(step)
    asking = asyncio.create_task(http.post("responses", json=STREAMED).__aenter__())
    assert await asyncio.to_thread(emulators.openai.wait_requests, 1)
    assert not emulators.openai.wait_cancelled(timeout=0)
    asking.cancel()
    assert await asyncio.to_thread(emulators.openai.wait_cancelled)
    assert not emulators.openai.wait_cancelled(timeout=0)
    assert emulators.openai.cancellations == 1
    assert await asyncio.to_thread(emulators.openai.wait_idle)


@pytest.mark.parametrize("step", [{"hang": True, "after": 1}, {"gate": "never", "after": 1}])
async def test_a_caller_who_leaves_mid_stream_is_seen(
    emulators: Emulators, client: AsyncOpenAI, step: dict[str, Any]
) -> None:
    emulators.openai.script({"text": "one two", **step})
    stream = await client.responses.create(**STREAMED)
    async for event in stream:
        if event.type == "response.output_text.delta":
            break
    await stream.close()
    assert await asyncio.to_thread(emulators.openai.wait_cancelled)


async def test_a_caller_who_leaves_a_running_stream_is_seen(emulators: Emulators, client: AsyncOpenAI) -> None:
    emulators.openai.pace = 0.001
    emulators.openai.script({"text": "word " * 5_000})
    stream = await client.responses.create(**STREAMED)
    async for event in stream:
        if event.type == "response.output_text.delta":
            break
    await stream.close()
    assert await asyncio.to_thread(emulators.openai.wait_cancelled)


async def test_a_finished_answer_is_not_a_cancellation(emulators: Emulators, client: AsyncOpenAI) -> None:
    stream = await client.responses.create(**STREAMED)
    async for event in stream:
        if event.type == "response.completed":
            break
    await stream.close()
    assert await asyncio.to_thread(emulators.openai.wait_idle)
    assert emulators.openai.cancellations == 0


async def test_clearing_forgets_everything_and_cuts_who_waits(emulators: Emulators, client: AsyncOpenAI) -> None:
    emulators.openai.script({"hang": True}, {"gate": "never"}, {"text": "unused"})
    asking = [asyncio.create_task(client.responses.create(**ASKED)) for _ in range(2)]
    assert await asyncio.to_thread(emulators.openai.wait_requests, 2)
    assert await asyncio.to_thread(emulators.openai.wait_gate, "never")
    emulators.clear()
    for each in await asyncio.gather(*asking, return_exceptions=True):
        assert isinstance(each, openai.APIConnectionError)
    assert emulators.openai.requests == []
    assert emulators.openai.scripted == 0
    assert not emulators.openai.wait_requests(1, timeout=0)
    assert not emulators.openai.wait_gate("never", timeout=0)


async def test_stopping_cuts_what_hangs_and_leaves_no_thread(client: AsyncOpenAI, emulators: Emulators) -> None:
    emulators.openai.script({"hang": True})
    asking = asyncio.create_task(client.responses.create(**ASKED))
    assert await asyncio.to_thread(emulators.openai.wait_requests, 1)
    running = {thread for thread in threading.enumerate() if thread.name == "emulators"}
    await asyncio.to_thread(emulators.stop)
    with pytest.raises(openai.APIConnectionError):
        await asking
    assert len(running - set(threading.enumerate())) == 1
    assert emulators.openai.cancellations == 0
    emulators.stop()


@pytest.mark.parametrize(
    ("step", "word"),
    [
        ({"txt": "x"}, "txt"),
        ({"text": 5}, "text"),
        ({"finish": "end"}, "end"),
        ({"content_filter": "all"}, "all"),
        ({"quirks": ["odd"]}, "odd"),
        ({"tool_calls": [{"arguments": {}}]}, "name"),
        ({"chunks": ["a", 1]}, "chunks"),
        ({"status": True}, "status"),
    ],
)
def test_a_step_that_is_not_understood_is_refused(emulators: Emulators, step: dict[str, Any], word: str) -> None:
    with pytest.raises(BadStep, match=word):
        emulators.openai.script(step)
