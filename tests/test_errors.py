"""What goes wrong, and what the caller is told: before the first byte a status and a typed error."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.conftest import App

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}
UPSTREAM_TEXT = "upstream text that must not shine through"


def refused(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The error of a response, which must be complete and hold nothing of the upstream's."""
    assert response.status_code == status, response.text
    error = dict(response.json()["error"])
    assert error.keys() == {"code", "message", "retryable", "retry_after", "request_id"}
    assert error["code"] == code
    assert error["request_id"] == response.headers["x-request-id"]
    assert error["message"].endswith(".")
    assert UPSTREAM_TEXT not in response.text
    return error


def user(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "messages: is missing."),
        ({"messages": []}, "messages: must not be empty."),
        ({"messages": "Hi"}, "messages: input should be a valid list"),
        ({"messages": ["Hi"]}, "messages.0: input should be"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: is missing."),
        ({"messages": [{"content": "Hi"}]}, "messages.0.role: is missing."),
        ({"messages": [{"role": "tool", "content": "Hi"}]}, "messages.0.role: input should be 'user'"),
        (user(""), "messages.0.content: must not be empty."),
        (user(5), "messages.0.content: must be text or a list of parts."),
        (user([]), "messages.0.content: must not be empty."),
        (user([{"type": "video"}]), "messages.0.content.0: must be an object of type text or image_url."),
        (user(["Hi"]), "messages.0.content.0: must be an object of type text or image_url."),
        (user([{"type": "text", "text": ""}]), "messages.0.content.0.text: must not be empty."),
        (user([{"type": "text", "text": 5}]), "messages.0.content.0.text: input should be a valid string."),
        (user([{"type": "text", "text": "Hi", "x": 1}]), "messages.0.content.0.x: is not a field of this request."),
        ({**HELLO, "temperature": "hot"}, "temperature: input should be a valid number."),
        ({**HELLO, "temperature": False}, "temperature: input should be a valid number."),
        ({**HELLO, "temperature": 3}, "temperature: input should be less than or equal to 2."),
        ({**HELLO, "max_output_tokens": 15}, "max_output_tokens: input should be greater than or equal to 16."),
        ({**HELLO, "max_tokens": 1.5}, "max_tokens: input should be a valid integer."),
        ({**HELLO, "max_output_tokens": None, "max_tokens": 15}, "max_tokens: input should be greater than or equal"),
        ({**HELLO, "max_completion_tokens": 15}, "max_completion_tokens: input should be greater than or equal to 16."),
        ({**HELLO, "stream": "yes"}, "stream: input should be a valid boolean."),
        ({**HELLO, "stream": 1}, "stream: input should be a valid boolean."),
        ({**HELLO, "tools": []}, "tools: is not a field of this request."),
        ({**HELLO, "x" * 500: 1}, f"{'x' * 40}: is not a field of this request."),
        ({**HELLO, "response_format": {"type": "xml"}}, "response_format: must be an object of type text"),
        (
            {**HELLO, "response_format": {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}},
            "response_format.json_schema.name: string should match",
        ),
        (
            {**HELLO, "response_format": {"type": "json_object"}},
            "response_format: for json_object, the instructions or a message must say the word JSON.",
        ),
        ({**HELLO, "reasoning_effort": "huge"}, "reasoning_effort: input should be 'none'"),
    ],
)
def test_a_body_that_breaks_a_rule_is_refused_with_the_fields_name(
    app: App, body: dict[str, Any], message: str
) -> None:
    error = refused(app.start().post("chat", json=body), 400, "invalid_request")
    assert message in error["message"]
    assert not error["retryable"]
    assert app.azure.openai.requests == []


def test_several_mistakes_are_named_at_once(caller: httpx2.Client) -> None:
    body = {"messages": [{"role": "user", "content": 5}], "stream": 1, "top": 1}
    message = refused(caller.post("chat", json=body), 400, "invalid_request")["message"]
    assert {one.split(":")[0] for one in message.split("; ")} == {"messages.0.content", "stream", "top"}


def test_too_many_messages_are_refused(app: App) -> None:
    caller = app.start({"MAX_MESSAGES": "2"})
    error = refused(caller.post("chat", json={"messages": HELLO["messages"] * 3}), 400, "invalid_request")
    assert "at most 2" in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe{}",
        b'{"messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"messages":[{"role":"user","content":"Hi"}],"temperature":NaN}',
        b'{"messages":[{"role":"user","content":"Hi"}],"temperature":-Infinity}',
        b'{"messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"temperature":' + b"9" * 10_000 + b"}",
    ],
)
def test_what_is_no_proper_json_is_refused_and_the_worker_lives_on(caller: httpx2.Client, body: bytes) -> None:
    refused(caller.post("chat", content=body, headers={"content-type": "application/json"}), 400, "invalid_json")
    assert caller.post("chat", json=HELLO).status_code == 200


def test_an_infinite_temperature_is_refused_however_it_is_spelled(caller: httpx2.Client) -> None:
    body = b'{"messages":[{"role":"user","content":"Hi"}],"temperature":1e999}'
    refused(caller.post("chat", content=body, headers={"content-type": "application/json"}), 400, "invalid_request")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_that_is_not_declared_as_json_is_refused(caller: httpx2.Client, content_type: str) -> None:
    response = caller.post("chat", content=json.dumps(HELLO), headers={"content-type": content_type})
    error = refused(response, 415, "unsupported_media_type")
    assert "Content-Type: application/json" in error["message"]


def test_a_content_type_may_have_parameters_and_any_case(caller: httpx2.Client) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert caller.post("chat", content=json.dumps(HELLO), headers=headers).status_code == 200


def test_a_body_above_the_cap_is_refused_by_its_length(app: App) -> None:
    caller = app.start({"MAX_BODY_BYTES": "2000"})
    refused(caller.post("chat", json=user("x" * 3000)), 413, "body_too_large")


def test_a_body_above_the_cap_is_refused_while_it_comes_when_it_hides_its_length(app: App) -> None:
    caller = app.start({"MAX_BODY_BYTES": "2000"})
    pieces = (b"x" * 1000 for _ in range(5))
    refused(caller.post("chat", content=pieces, headers={"content-type": "application/json"}), 413, "body_too_large")


def test_a_body_that_comes_too_slowly_is_refused(app: App) -> None:
    url = app.start({"BODY_TIMEOUT_SECONDS": "0.5"}).base_url
    with socket.create_connection((url.host, url.port), timeout=10) as connection:
        connection.sendall(
            b"POST /api/chat HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"
        )
        answer = b""
        while b"}}" not in answer and (more := connection.recv(10_000)):
            answer += more
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"body_timeout"' in answer


def test_a_caller_who_leaves_within_the_body_harms_nobody(app: App) -> None:
    caller = app.start()
    with socket.create_connection((caller.base_url.host, caller.base_url.port)) as connection:
        connection.sendall(
            b"POST /api/chat HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"
        )
    assert caller.post("chat", json=HELLO).status_code == 200


def upstream(status: int, code: str, **headers: str) -> dict[str, Any]:
    return {"status": status, "headers": headers, "error": {"code": code, "message": UPSTREAM_TEXT}}


FAULTS = [
    (upstream(400, "invalid_value"), 400, "upstream_rejected", False),
    (upstream(400, "content_filter"), 400, "content_filter", False),
    ({"content_filter": "prompt"}, 400, "content_filter", False),
    (upstream(401, "PermissionDenied"), 502, "upstream_forbidden", True),
    (upstream(403, "Forbidden"), 502, "upstream_forbidden", True),
    (upstream(404, "DeploymentNotFound"), 502, "deployment_not_found", False),
    (upstream(408, "timeout"), 504, "upstream_timeout", True),
    (upstream(429, "RateLimitReached", **{"retry-after-ms": "300"}), 429, "rate_limited", True),
    (upstream(500, "InternalServerError"), 502, "upstream_unavailable", True),
    (upstream(503, "overloaded"), 502, "upstream_unavailable", True),
    ({"redirect": "http://169.254.169.254/metadata"}, 502, "upstream_unavailable", True),
    ({"reset": "before"}, 502, "upstream_unavailable", True),
    ({"reset": "mid", "after": 1}, 502, "upstream_interrupted", True),
    ({"truncate": 1}, 502, "upstream_interrupted", True),
    ({"raw": ["data: {broken"]}, 502, "upstream_interrupted", True),
    ({"raw": []}, 502, "upstream_interrupted", True),
    ({"raw": ['data: {"type":"error","code":"rate_limit_exceeded","message":"x"}']}, 429, "rate_limited", True),
    (
        {"raw": ['data: {"type":"response.failed","response":{"error":{"code":"content_filter"}}}']},
        400,
        "content_filter",
        False,
    ),
]


LEFT_ALONE = {"upstream_forbidden", "deployment_not_found"}
"""What no second try mends: the deployment is left alone for a minute."""


@pytest.mark.parametrize(("step", "status", "code", "retryable"), FAULTS)
def test_each_fault_that_lasts_has_its_status_and_code_and_the_worker_lives_on(
    app: App, step: dict[str, Any], status: int, code: str, retryable: bool
) -> None:
    caller = app.start({"MAX_ATTEMPTS": "2"})
    app.azure.openai.script_forever(step)
    error = refused(caller.post("chat", json=HELLO), status, code)
    assert error["retryable"] is retryable
    app.azure.openai.clear()
    if code in LEFT_ALONE:
        assert refused(caller.post("chat", json=HELLO), status, code)["message"] == error["message"]
        assert app.azure.openai.requests == []
    else:
        assert caller.post("chat", json=HELLO).status_code == 200


@pytest.mark.parametrize(
    "step",
    [
        upstream(408, "timeout"),
        upstream(429, "RateLimitReached", **{"retry-after-ms": "300"}),
        upstream(500, "InternalServerError"),
        {"redirect": "http://169.254.169.254/metadata"},
        {"reset": "before"},
        {"raw": ["data: {broken"]},
        {"raw": []},
        {"raw": ['data: {"type":"error","code":"server_error","message":"x"}']},
    ],
)
def test_a_fault_that_comes_once_and_before_the_first_event_is_healed_unseen(app: App, step: dict[str, Any]) -> None:
    caller = app.start()
    app.azure.openai.script(step)
    assert caller.post("chat", json=HELLO).json()["finish_reason"] == "stop"
    assert len(app.azure.openai.requests) == 2


@pytest.mark.parametrize(
    "step",
    [
        upstream(400, "invalid_value"),
        {"content_filter": "prompt"},
        {"truncate": 1},
        {"reset": "mid", "after": 1},
        {"chunks": ["a ", "b "], "finish": "failed"},
    ],
)
def test_what_is_the_callers_fault_or_comes_after_the_first_event_is_not_sent_again(
    app: App, step: dict[str, Any]
) -> None:
    caller = app.start()
    app.azure.openai.script(step)
    assert caller.post("chat", json=HELLO).status_code in (400, 502)
    assert len(app.azure.openai.requests) == 1


@pytest.mark.parametrize(
    ("headers", "seconds", "header"),
    [
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5, "2"),
        # Nobody should wait for a day: it is asked again once a minute.
        ({"retry-after": "86400"}, 60, "60"),
        ({"retry-after": "soon"}, 1, "1"),
        ({"retry-after": "-1"}, 1, "1"),
        ({"retry-after": "nan"}, 1, "1"),
        ({}, 1, "1"),
    ],
)
def test_a_rate_limit_says_when_to_try_again(app: App, headers: dict[str, str], seconds: float, header: str) -> None:
    caller = app.start({"MAX_ATTEMPTS": "1"})
    app.azure.openai.script(upstream(429, "RateLimitReached", **headers))
    response = caller.post("chat", json=HELLO)
    assert refused(response, 429, "rate_limited")["retry_after"] == seconds
    assert response.headers.get("retry-after") == header


def test_a_silent_upstream_is_given_up_after_the_idle_time(app: App) -> None:
    caller = app.start({"IDLE_TIMEOUT_SECONDS": "0.1", "MAX_ATTEMPTS": "2"})
    app.azure.openai.script_forever({"hang": True})
    refused(caller.post("chat", json=HELLO), 504, "upstream_timeout")


def test_an_endpoint_that_nobody_serves_is_an_unavailable_upstream(app: App) -> None:
    caller = app.start({"AZURE_OPENAI_ENDPOINT": "http://127.0.0.1:9", "MAX_ATTEMPTS": "2"})
    before = len(app.told.lines)
    refused(caller.post("chat", json=HELLO), 502, "upstream_unavailable")
    assert set(warnings_since(before, app)) == {"app.openai WARNING no answer from 127.0.0.1: ConnectionRefusedError"}


def test_a_failing_upstream_is_logged_with_its_status_and_without_its_words(app: App) -> None:
    caller = app.start({"MAX_ATTEMPTS": "1"})
    app.azure.openai.script({"status": 500, "error": {"code": "500", "message": UPSTREAM_TEXT}})
    before = len(app.told.lines)
    refused(caller.post("chat", json=HELLO), 502, "upstream_unavailable")
    assert warnings_since(before, app) == ["app.openai WARNING no answer from 127.0.0.1: status 500"]


def warnings_since(start: int, app: App) -> list[str]:
    """What the app warned of since the log had `start` lines, the line of the request apart."""
    lines = app.told.lines[start:]
    return [line for line in lines if line.startswith("app.") and " WARNING " in line]


OWN_FAULT = """
import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, Response
from shared.chat_request import parse_chat
from shared.dialects.answer import chat_answer
from shared.events import Started
from shared.settings import Settings
from shared.worker import Endpoint, Worker

async def breaks(request, services, *rest):
    if request.stream:
        yield Started("1", "m", "d")
    raise ValueError("canary-" + "of-the-prompt")

worker = Worker(Settings.from_env())
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

@app.route(route="chat", methods=["POST"])
async def chat(req: Request, context: func.Context) -> Response:
    return await worker.serve(Endpoint("chat", parse_chat, breaks, chat_answer), req, context.invocation_id)
"""


def test_a_fault_of_the_apps_own_is_told_without_its_text(app: App, tmp_path: Path) -> None:
    path = tmp_path / "function_app.py"
    path.write_text(OWN_FAULT, encoding="utf-8")
    caller = app.start(path=path)
    refused(caller.post("chat", json=HELLO), 500, "internal_error")
    stream = caller.post("chat", json={**HELLO, "stream": True}).text
    assert '"code":"internal_error"' in stream
    assert stream.endswith("data: [DONE]\n\n")
    assert sum("failed: ValueError" in line for line in app.told.lines) == 2
    assert not any("canary-of-the-prompt" in line for line in [*app.told.lines, stream])


SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CUT = b"content-type: application/json\r\ncontent-length: 100\r\n\r\n{"


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (b"garbage\r\n\r\n", 502, "upstream_unavailable"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 100_000 + b"\r\n\r\n", 502, "upstream_unavailable"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n", 502, "upstream_unavailable"),
        (b"HTTP/1.1 429 Busy\r\nretry-after: 3\r\n" + CUT, 429, "rate_limited"),
        (b"HTTP/1.1 503 Down\r\n" + CUT, 502, "upstream_unavailable"),
        (b"HTTP/1.1 400 Bad\r\ncontent-length: 900000\r\n\r\n" + b"x" * 900_000, 400, "upstream_rejected"),
        (b"HTTP/1.1 400 Bad\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc", 400, "upstream_rejected"),
        (SSE_HEAD + b"zz\r\nbad\r\n", 502, "upstream_unavailable"),
        (SSE_HEAD + b"5\r\ndata:\r\n", 502, "upstream_interrupted"),
    ],
)
def test_an_upstream_that_breaks_http_itself_is_told_by_what_is_known(
    app: App, answer: bytes, status: int, code: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}"
        caller = app.start({"AZURE_OPENAI_ENDPOINT": endpoint, "IDLE_TIMEOUT_SECONDS": "2", "MAX_ATTEMPTS": "1"})

        def serve_once() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(100_000)
                connection.sendall(answer)

        serving = threading.Thread(target=serve_once)
        serving.start()
        error = refused(caller.post("chat", json=HELLO), status, code)
        serving.join()
    if code == "rate_limited":
        assert error["retry_after"] == 3


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[' + b"0," * 3_000_000 + b"0]}",
        b'{"messages":[' + b"0," * 900_000 + b"0]}",
        b'{"messages":[{"role":"user","content":[' + b"0," * 9_000 + b"0]}]}",
        b'{"messages":[{"role":"user","content":[' + b"0," * 900_000 + b"0]}]}",
        b'{"messages":[],' + b",".join(b'"%d":0' % number for number in range(500_000)) + b"}",
        b'{"messages":[{"role":"user",' + b",".join(b'"%d":0' % number for number in range(5_000)) + b"}]}",
    ],
)
def test_a_body_of_very_many_values_is_refused_before_it_costs_anything(caller: httpx2.Client, body: bytes) -> None:
    """Checking each value of an allowed body took minutes and gigabytes."""
    refused(caller.post("chat", content=body, headers={"content-type": "application/json"}), 400, "invalid_request")


def test_too_large_or_endless_schemas_are_refused(caller: httpx2.Client) -> None:
    for schema in (b'{"maximum":1e999}', b'{"enum":["' + b"x" * 200_000 + b'"]}'):
        asked = b'{"type":"json_schema","json_schema":{"name":"a","schema":' + schema + b"}}"
        body = b'{"messages":[{"role":"user","content":"Hi"}],"response_format":' + asked + b"}"
        response = caller.post("chat", content=body, headers={"content-type": "application/json"})
        assert "response_format.json_schema.schema: must" in refused(response, 400, "invalid_request")["message"]


def test_an_image_in_the_models_own_message_is_refused(caller: httpx2.Client) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    message = {"role": "assistant", "content": [picture]}
    error = refused(caller.post("chat", json={"messages": [message]}), 400, "invalid_request")
    assert error["message"] == "messages.0: only a user's message may hold images."
