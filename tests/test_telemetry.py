"""What is told of a request: one line in the log and one span, and never a secret or what was said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import App
from tests.streams import open_stream

HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
CANARY = "canary-in-a-prompt"


def line_of(app: App, request_id: str) -> dict[str, Any]:
    """The one line that the log has of a request, once the app has ended all of them."""
    app.stop()
    (line,) = [one for one in app.told.lines if request_id in one and one.startswith("app.request ")]
    return dict(json.loads(line.partition(" INFO ")[2]))


@pytest.mark.parametrize("stream", [True, False])
def test_a_request_is_one_structured_line(app: App, stream: bool) -> None:
    caller = app.start()
    app.azure.openai.script({"text": "Hi", "usage": {"input_tokens": 9, "output_tokens": 1}})
    with open_stream(caller, "chat", {**HELLO, "stream": stream}) as answer:
        list(answer.response.iter_bytes())
    request_id = answer.response.headers["x-request-id"]
    line = line_of(app, request_id)
    times = line.pop("first_event_ms"), line.pop("ms")
    assert 0 < times[0] <= times[1]
    assert line == {
        "event": "request",
        "route": "chat",
        "request_id": request_id,
        "status": 200,
        "stream": stream,
        "model": "gpt-4.1-mini",
        "deployment": "gpt-4.1-mini",
        "resource": "127.0.0.1",
        "attempts": 1,
        "finish_reason": "stop",
        "input_tokens": 9,
        "output_tokens": 1,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
    }


def test_a_refused_request_is_a_line_with_its_code(app: App) -> None:
    response = app.start().post("chat", json={**HELLO, "model": "none"})
    line = line_of(app, response.headers["x-request-id"])
    assert (line["status"], line["code"]) == (404, "model_not_found")


def test_a_stream_that_broke_off_is_a_line_with_its_code(app: App) -> None:
    caller = app.start()
    app.azure.openai.script({"truncate": 1})
    with open_stream(caller, "chat", {**HELLO, "stream": True}) as answer:
        answer.rest()
    line = line_of(app, answer.response.headers["x-request-id"])
    assert (line["status"], line["code"]) == (200, "upstream_interrupted")


def test_a_caller_who_left_is_a_line_that_says_so(app: App) -> None:
    caller = app.start()
    app.azure.openai.script({"chunks": ["one ", "two"], "gate": "never", "after": 1})
    with open_stream(caller, "chat", {**HELLO, "stream": True}) as answer:
        answer.until("text-delta")
    assert app.azure.openai.wait_cancelled()
    request_id = answer.response.headers["x-request-id"]
    assert line_of(app, request_id)["code"] == "caller_left"


def test_a_model_call_is_a_span_of_the_semantic_conventions(app: App) -> None:
    caller = app.start({"MAX_ATTEMPTS": "1"})
    before = len(app.told.spans("chat "))
    app.azure.openai.script({"text": "Hi", "usage": {"input_tokens": 9, "output_tokens": 1}}, {"status": 429})
    caller.post("chat", json=HELLO)
    caller.post("chat", json=HELLO)
    good, bad = (json.loads(span) for span in app.told.spans("chat ")[before:])
    assert good["name"] == "chat gpt-4.1-mini"
    assert good["attributes"] == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "azure.ai.openai",
        "gen_ai.request.model": "gpt-4.1-mini",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 1,
        "server.address": "127.0.0.1",
    }
    assert bad["attributes"]["error.type"] == "rate_limited"
    assert bad["status"]["status_code"] == "ERROR"
    assert bad["events"] == []


def test_what_is_said_is_in_no_line_and_no_span_whatever_happens(app: App) -> None:
    caller = app.start()
    body = {"messages": [{"role": "user", "content": CANARY}], "instructions": CANARY}
    for step in ({}, {"status": 500}, {"truncate": 1}, {"reset": "before"}, {"content_filter": "prompt"}):
        app.azure.openai.script(step)
        caller.post("chat", json=body)
        caller.post("chat", json={**body, CANARY: 1})
    assert not any(CANARY in line for line in app.told.lines + app.told.spans())


def test_the_search_for_secrets_finds_one_that_was_told(app: App) -> None:
    """The check at the end of the run must be able to fail."""
    token = app.azure.identity.mint()
    app.told.lines.append(f"a careless line: {token}")
    assert len(app.told.secrets_in([])) == 1
    app.told.lines.pop()
    assert app.told.secrets_in(["no such secret"]) == []
