"""`POST /api/chat`, told as the AI SDK's UI message stream."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import httpx2
import pytest

from tests.conftest import App
from tests.streams import open_stream, text_of
from tests.test_chat import PICTURE

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}], "stream": True}


def test_a_stream_tells_the_same_as_the_json_answer(app: App) -> None:
    caller = app.start()
    usage = {"input_tokens": 4, "output_tokens": 2}
    app.azure.openai.script(*[{"chunks": ["Good ", "morning."], "usage": usage}] * 2)
    with open_stream(caller, "chat", HELLO) as stream:
        frames = stream.rest()
    request_id = stream.response.headers["x-request-id"]
    metadata = frames[-2].pop("messageMetadata")
    assert frames == [
        {"type": "start", "messageId": f"chat_{request_id}"},
        {"type": "start-step"},
        {"type": "text-start", "id": "1"},
        {"type": "text-delta", "id": "1", "delta": "Good "},
        {"type": "text-delta", "id": "1", "delta": "morning."},
        {"type": "text-end", "id": "1"},
        {"type": "finish-step"},
        {"type": "finish"},
        "[DONE]",
    ]
    whole = caller.post("chat", json={**HELLO, "stream": False}).json()
    assert whole["message"]["content"] == "Good morning."
    assert metadata == {
        "finish_reason": whole["finish_reason"],
        "usage": whole["usage"],
        "request_id": request_id,
    }


def test_a_stream_has_the_headers_that_the_ai_sdk_and_proxies_look_for(caller: httpx2.Client) -> None:
    with open_stream(caller, "chat", HELLO) as stream:
        headers = stream.response.headers
        assert headers["content-type"].startswith("text/event-stream")
        assert headers["x-vercel-ai-ui-message-stream"] == "v1"
        assert headers["cache-control"] == "no-store"
        stream.rest()


def test_a_stream_can_be_asked_for_by_accept_alone(caller: httpx2.Client) -> None:
    body = {"messages": HELLO["messages"]}
    with open_stream(caller, "chat", body, accept="text/event-stream") as stream:
        assert stream.rest()[-1] == "[DONE]"


def test_stream_false_wins_over_accept(caller: httpx2.Client) -> None:
    response = caller.post("chat", json={**HELLO, "stream": False}, headers={"accept": "text/event-stream"})
    assert response.json()["finish_reason"] == "stop"


def test_reasoning_is_told_before_the_text_in_a_block_of_its_own(app: App) -> None:
    caller = app.start({"AZURE_OPENAI_DEPLOYMENT": "gpt-5.4-mini", "REASONING_SUMMARY": "auto"})
    app.azure.openai.script({"text": "42.", "reasoning": "I multiply."})
    with open_stream(caller, "chat", HELLO) as stream:
        kinds = [frame if frame == "[DONE]" else frame["type"] for frame in stream.rest()]
    blocks = [kind for kind in kinds if not str(kind).endswith("-delta")]
    assert blocks == [
        "start",
        "start-step",
        "reasoning-start",
        "reasoning-end",
        "text-start",
        "text-end",
        "finish-step",
        "finish",
        "[DONE]",
    ]


def test_each_piece_arrives_before_the_model_makes_the_next(app: App) -> None:
    caller = app.start()
    app.azure.openai.script({"chunks": ["one ", "two"], "gate": "half", "after": 1})
    with open_stream(caller, "chat", HELLO) as stream:
        assert stream.until("text-delta")["delta"] == "one "
        app.azure.openai.open_gate("half")
        assert text_of(stream.rest()) == "two"


def test_a_silent_model_is_bridged_by_comments_and_headers_leave_meanwhile(app: App) -> None:
    caller = app.start({"HEARTBEAT_SECONDS": "0.05"})
    app.azure.openai.script({"text": "At last.", "gate": "slow", "after": 0})
    with open_stream(caller, "chat", HELLO) as stream:
        assert stream.response.status_code == 200
        chunks = stream.response.iter_bytes()
        assert next(chunks) == next(chunks) == b": keep-alive\n\n"
        app.azure.openai.open_gate("slow")
        assert b"At last." in b"".join(chunks).replace(b'"}\n\ndata: {"type":"text-delta","id":"1","delta":"', b"")


def test_an_error_after_the_headers_is_told_in_band(app: App) -> None:
    caller = app.start({"HEARTBEAT_SECONDS": "0.05", "MAX_ATTEMPTS": "1"})
    app.azure.openai.script({"status": 429, "headers": {"retry-after-ms": "1500"}, "gate": "slow", "after": 0})
    with open_stream(caller, "chat", HELLO) as stream:
        app.azure.openai.open_gate("slow")
        frames = stream.rest()
    assert [frame if frame == "[DONE]" else frame["type"] for frame in frames] == ["data-error", "error", "[DONE]"]
    assert frames[0]["data"]["code"] == "rate_limited"
    assert frames[0]["data"]["retry_after"] == 1.5


@pytest.mark.parametrize(
    "step",
    [
        {"truncate": 2},
        {"reset": "mid", "after": 2},
        {"raw": ['data: {"type":"response.created"}', "data: {broken"]},
        {"raw": ['data: {"type":"response.output_text.delta","delta":5}']},
        {"raw": ['data: {"type":"response.completed"}']},
        {"raw": ["data: [DONE]"]},
        {"finish": "failed"},
        {"finish": "error"},
    ],
)
def test_a_stream_that_breaks_off_ends_in_one_typed_error(app: App, step: dict[str, Any]) -> None:
    caller = app.start({"MAX_ATTEMPTS": "1"})
    app.azure.openai.script({"chunks": ["a ", "b ", "c "], **step} if "raw" not in step else step, step)
    with open_stream(caller, "chat", HELLO) as stream:
        if stream.response.status_code == 200:
            frames = stream.rest()
            kinds = [frame if frame == "[DONE]" else frame["type"] for frame in frames]
            assert kinds[-3:] == ["data-error", "error", "[DONE]"]
            assert kinds.count("error") == 1
            assert "finish" not in kinds
            assert kinds.count("text-start") == kinds.count("text-end")
            assert frames[-3]["data"]["request_id"] == stream.response.headers["x-request-id"]
        else:
            assert stream.response.status_code == 502
    # The same fault, told in one piece, is a status and never half an answer.
    response = caller.post("chat", json={**HELLO, "stream": False})
    assert response.status_code == 502
    assert response.json()["error"]["code"] in ("upstream_interrupted", "upstream_unavailable")
    assert caller.post("chat", json=HELLO).status_code == 200


@pytest.mark.parametrize("quirks", [["prompt-filter-chunk"], ["missing-delta"]])
def test_azures_own_additions_to_a_stream_do_no_harm(app: App, quirks: list[str]) -> None:
    caller = app.start()
    app.azure.openai.script({"text": "All is well.", "quirks": quirks})
    with open_stream(caller, "chat", HELLO) as stream:
        frames = stream.rest()
    assert text_of(frames) == "All is well."
    assert frames[-2]["type"] == "finish"


def test_a_caller_who_leaves_a_stream_ends_the_call_upstream(app: App) -> None:
    caller = app.start()
    app.azure.openai.script({"chunks": ["one ", "two"], "gate": "never", "after": 1})
    with open_stream(caller, "chat", HELLO) as stream:
        stream.until("text-delta")
        left = time.monotonic()
    assert app.azure.openai.wait_cancelled()
    assert time.monotonic() - left < 0.5


@pytest.mark.parametrize("stream", [True, False])
def test_a_caller_who_leaves_before_the_first_byte_ends_the_call_upstream(app: App, stream: bool) -> None:
    caller = app.start()
    app.azure.openai.script({"hang": True})
    url = caller.base_url
    body = httpx2.Request("POST", url, json={**HELLO, "stream": stream}).content
    with socket.create_connection((url.host, url.port)) as connection:
        head = f"POST /api/chat HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        assert app.azure.openai.wait_requests()
        left = time.monotonic()
    assert app.azure.openai.wait_cancelled()
    assert time.monotonic() - left < 0.5


def test_a_deadline_ends_a_stream_that_goes_on_too_long(app: App) -> None:
    caller = app.start({"REQUEST_TIMEOUT_SECONDS": "0.3"})
    app.azure.openai.script({"chunks": ["one ", "two"], "gate": "never", "after": 1})
    with open_stream(caller, "chat", HELLO) as stream:
        frames = stream.rest()
    assert frames[-3]["data"]["code"] == "upstream_timeout"
    assert app.azure.openai.wait_cancelled()


def test_a_deadline_ends_an_answer_in_one_piece(app: App) -> None:
    caller = app.start({"REQUEST_TIMEOUT_SECONDS": "0.2"})
    app.azure.openai.script({"hang": True})
    response = caller.post("chat", json={**HELLO, "stream": False})
    assert (response.status_code, response.json()["error"]["code"]) == (504, "upstream_timeout")
    assert app.azure.openai.wait_cancelled()


def test_fifty_streams_at_once_do_not_mix(app: App) -> None:
    caller = app.start()

    async def ask(client: httpx2.AsyncClient, number: int) -> bool:
        body = {"messages": [{"role": "user", "content": f"I am number {number}."}], "stream": True}
        answer = await client.post("chat", json=body)
        spoken = answer.text.replace('"}\n\ndata: {"type":"text-delta","id":"1","delta":"', "")
        return f"number {number}." in spoken and spoken.count("number") == 1

    async def all_of_them() -> list[bool]:
        async with httpx2.AsyncClient(base_url=caller.base_url, timeout=30) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(50)))

    assert all(asyncio.run(all_of_them()))
    # The first callers of a new worker share one token request.
    assert len(app.azure.identity.requests) == 1


def test_more_callers_than_a_client_has_connections_by_default_are_all_served(app: App) -> None:
    caller = app.start({"CONNECT_TIMEOUT_SECONDS": "1"})
    app.azure.openai.script(*[{"gate": "all", "after": 0}] * 120)

    async def all_of_them() -> set[int]:
        limits = httpx2.Limits(max_connections=None)
        async with httpx2.AsyncClient(base_url=caller.base_url, timeout=30, limits=limits) as client:
            asking = [asyncio.create_task(client.post("chat", json=HELLO)) for _ in range(120)]
            assert await asyncio.to_thread(app.azure.openai.wait_requests, 120, 20)
            app.azure.openai.open_gate("all")
            return {response.status_code for response in await asyncio.gather(*asking)}

    assert asyncio.run(all_of_them()) == {200}


def test_one_connection_serves_call_after_call(app: App) -> None:
    caller = app.start()
    for _ in range(20):
        assert caller.post("chat", json=HELLO).status_code == 200
    # On a busy machine a call may come before the last one's connection is free again; without reuse it would be 20.
    assert len({request.peer_port for request in app.azure.openai.requests}) <= 10


FIRST_TURN: dict[str, Any] = {
    "id": "6dDhtR3oTsVc2bbT",
    "messages": [{"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Hello"}]}],
    "trigger": "submit-message",
}


def test_what_use_chat_sends_first_is_answered_as_a_stream(app: App) -> None:
    with open_stream(app.start(), "chat", FIRST_TURN) as stream:
        assert stream.response.headers["x-vercel-ai-ui-message-stream"] == "v1"
        assert "“Hello”" in text_of(stream.rest())


def test_what_use_chat_sends_on_turn_two_is_understood(app: App) -> None:
    """The assistant's message comes back with all that the stream and the SDK made of it."""
    second_turn = {
        "id": "6dDhtR3oTsVc2bbT",
        "messages": [
            FIRST_TURN["messages"][0],
            {
                "id": "chat_1",
                "role": "assistant",
                "metadata": {"finish_reason": "stop", "usage": {"input_tokens": 6}, "request_id": "1"},
                "parts": [
                    {"type": "step-start"},
                    {"type": "reasoning", "text": "Greet.", "state": "done", "providerMetadata": {"x": {"y": 1}}},
                    {"type": "text", "text": "Hello! How can I help?", "state": "done"},
                    {"type": "tool-weather", "toolCallId": "c1", "state": "output-available", "input": {}, "output": 1},
                    {"type": "dynamic-tool", "toolName": "x", "toolCallId": "c2", "state": "input-streaming"},
                    {"type": "source-url", "sourceId": "s", "url": "https://example.com"},
                    {"type": "data-anything", "data": {"a": [1]}},
                ],
            },
            {
                "id": "u2",
                "role": "user",
                "parts": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "file", "mediaType": "image/png", "filename": "a.png", "url": PICTURE},
                ],
            },
        ],
        "trigger": "submit-message",
        "messageId": "u2",
        "somethingOfTheApps": {"own": True},
        "instructions": "Be brief.",
    }
    with open_stream(app.start(), "chat", second_turn) as stream:
        assert stream.rest()[-2]["type"] == "finish"
    body = app.azure.openai.requests[0].json()
    assert body["instructions"] == "Be brief."
    assert [item["role"] for item in body["input"]] == ["user", "assistant", "user"]
    assert body["input"][1]["content"] == [{"type": "output_text", "text": "Hello! How can I help?"}]
    assert body["input"][2]["content"][1] == {"type": "input_image", "image_url": PICTURE, "detail": "auto"}


def test_an_assistants_turn_that_says_nothing_is_left_out(app: App) -> None:
    said_nothing = {"id": "a", "role": "assistant", "parts": [{"type": "step-start"}, {"type": "text", "text": ""}]}
    body = {**FIRST_TURN, "messages": [*FIRST_TURN["messages"], said_nothing, *FIRST_TURN["messages"]]}
    with open_stream(app.start(), "chat", body) as stream:
        assert stream.rest()[-2]["type"] == "finish"
    assert [item["role"] for item in app.azure.openai.requests[0].json()["input"]] == ["user", "user"]


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({"role": "user", "parts": [{"type": "file", "mediaType": "application/pdf", "url": "x"}]}, "only image files"),
        ({"role": "user", "parts": ["text"]}, "must be an object with a type"),
        ({"role": "user", "parts": [{"type": "text", "text": 5}]}, "messages.0.content.0.text: "),
        ({"role": "user", "parts": []}, "messages.0.content: "),
        ({"role": "robot", "parts": [{"type": "text", "text": "Hi"}]}, "messages.0.role: "),
    ],
)
def test_a_message_of_the_ai_sdk_that_would_be_lost_is_refused(
    caller: httpx2.Client, message: dict[str, Any], problem: str
) -> None:
    response = caller.post("chat", json={**FIRST_TURN, "messages": [message]})
    assert response.status_code == 400
    assert problem in response.json()["error"]["message"]


def test_messages_of_both_shapes_in_one_request_are_refused(caller: httpx2.Client) -> None:
    mixed = [*FIRST_TURN["messages"], {"role": "user", "content": "Hi"}]
    response = caller.post("chat", json={**FIRST_TURN, "messages": mixed})
    assert response.status_code == 400
    assert "messages.1: must be an object with a list of parts" in response.json()["error"]["message"]
