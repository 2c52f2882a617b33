"""Several deployments behind one model: which fault leads where, over sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from dev.emulator import Emulators
from tests.conftest import ROOT, App
from tests.streams import open_stream, text_of

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}
DEPLOYMENTS = {"one", "two", "other"}


@pytest.fixture
def two(app: App) -> Iterator[App]:
    """The app before deployments that are tried in this order: one, two; `other` is another model's."""
    before = set(app.azure.openai.deployments)
    app.azure.openai.deployments |= DEPLOYMENTS
    yield app
    app.azure.openai.deployments -= DEPLOYMENTS - before


@pytest.fixture
def west(azure: Emulators) -> Iterator[Emulators]:
    """A second resource, which takes the same tokens."""
    with Emulators.start() as west:
        west.openai.deployments |= DEPLOYMENTS
        yield west
        assert not any("api-key" in one.headers for one in west.openai.requests)


def models(*deployments: dict[str, Any], **more: Any) -> str:
    """A map whose one model these deployments serve."""
    listed = [{"priority": number, **one} for number, one in enumerate(deployments, 1)]
    return json.dumps({"chat": {"deployments": listed, **more}, "else": {"deployment": "other"}})


TWO = models({"deployment": "one"}, {"deployment": "two"})


def called(app: App) -> list[str]:
    """The deployments that were called so far, in this order."""
    return [one.json()["model"] for one in app.azure.openai.requests]


def lines(app: App, event: str) -> list[dict[str, Any]]:
    """The log's lines of this kind."""
    texts = [line.partition("{")[1] + line.partition("{")[2] for line in app.told.lines if line.startswith("app.")]
    return [line for line in map(_json, texts) if line.get("event") == event]


def _json(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except ValueError:
        return {}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "step",
    [
        {"status": 429, "headers": {"retry-after-ms": "60000"}},
        {"status": 429},
        {"status": 500},
        {"status": 503, "headers": {"retry-after": "60"}},
        {"reset": "before"},
        {"hang": True},
        {"raw": []},
        {"raw": ['data: {"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded"}}}']},
        {"redirect": "https://elsewhere.example"},
        {"status": 403},
        {"status": 404, "error": {"code": "DeploymentNotFound", "message": "x"}},
        {"status": 401, "error": {"code": "PermissionDenied", "message": "x"}},
    ],
)
def test_when_one_deployment_fails_the_next_answers_at_once(two: App, step: dict[str, Any], stream: bool) -> None:
    caller = two.start({"MODELS": TWO, "FIRST_EVENT_SECONDS": "1"})
    two.azure.openai.script(step, {"text": "Here I am."})
    with open_stream(caller, "chat", {**HELLO, "stream": stream}) as answer:
        assert answer.response.status_code == 200
        if stream:
            assert text_of(answer.rest()) == "Here I am."
        else:
            answer.response.read()
            assert answer.response.json()["message"]["content"] == "Here I am."
    assert called(two) == ["one", "two"]
    two.stop()
    line = lines(two, "request")[-1]
    assert (line["deployment"], line["attempts"], line["retries"]) == ("two", 2, 1)
    assert line.get("waited_ms", 0) < 200


def test_a_call_that_is_given_up_is_cancelled_upstream_and_its_span_says_so(two: App) -> None:
    caller = two.start({"MODELS": TWO, "FIRST_EVENT_SECONDS": "0.5"})
    before = len(two.told.spans("chat "))
    two.azure.openai.script({"hang": True})
    assert caller.post("chat", json=HELLO).status_code == 200
    assert two.azure.openai.wait_cancelled()
    spans = [json.loads(span)["attributes"] for span in two.told.spans("chat ")[before:]]
    assert [span["gen_ai.request.model"] for span in spans] == ["one", "two"]
    assert [span.get("error.type") for span in spans] == ["cancelled", None]


def test_a_deployment_that_asks_to_be_left_alone_is_left_alone(two: App) -> None:
    caller = two.start({"MODELS": TWO})
    two.azure.openai.script({"status": 429, "headers": {"retry-after": "60"}})
    for _ in range(3):
        assert caller.post("chat", json=HELLO).status_code == 200
    assert called(two) == ["one", "two", "two", "two"]
    assert lines(two, "deployment")[-1] == {
        "event": "deployment",
        "deployment": "one",
        "resource": "127.0.0.1",
        "state": "rate_limited",
        "seconds": 60.0,
    }


def test_every_call_is_a_line_when_someone_looks_for_the_reason_of_a_choice(two: App) -> None:
    caller = two.start({"MODELS": TWO, "LOG_LEVEL": "DEBUG"})
    before = len(lines(two, "attempt"))
    two.azure.openai.script({"status": 500})
    caller.post("chat", json=HELLO)
    told = [(one["deployment"], one["outcome"], one["number"]) for one in lines(two, "attempt")[before:]]
    assert told == [("one", "server_error", 1), ("two", "ok", 2)]


def test_a_resource_that_nobody_serves_costs_the_caller_nothing(two: App) -> None:
    gone = {"deployment": "one", "endpoint": "http://127.0.0.1:9"}
    caller = two.start({"MODELS": models(gone, {"deployment": "two"})})
    assert caller.post("chat", json=HELLO).status_code == 200
    assert called(two) == ["two"]


def test_a_token_that_one_resource_refuses_is_renewed_once_and_then_the_other_is_asked(
    two: App, west: Emulators
) -> None:
    there = {"deployment": "one", "endpoint": west.openai.url}
    caller = two.start({"MODELS": models(there, {"deployment": "two"})})
    west.openai.script_forever({"status": 401})
    assert caller.post("chat", json=HELLO).status_code == 200
    tokens = [one.headers["authorization"] for one in west.openai.requests]
    assert len(tokens) == len(set(tokens)) == 2
    assert called(two) == ["two"]


@pytest.mark.parametrize(
    ("step", "status"),
    [
        ({"status": 400}, 400),
        ({"content_filter": "prompt"}, 400),
        ({"status": 404, "error": {"code": None, "message": "Item with id 'x' not found.", "param": "input"}}, 400),
        ({"truncate": 1}, 502),
        ({"reset": "mid", "after": 1}, 502),
        ({"raw": ['data: {"type":"response.created"}', 'data: {"type":"error","code":"server_error"}']}, 502),
    ],
)
def test_a_bad_request_and_an_answer_that_broke_off_go_to_no_second_deployment(
    two: App, step: dict[str, Any], status: int
) -> None:
    caller = two.start({"MODELS": TWO})
    two.azure.openai.script(step)
    assert caller.post("chat", json=HELLO).status_code == status
    assert called(two) == ["one"]


def test_bad_requests_take_no_deployment_out_of_service(two: App) -> None:
    caller = two.start({"MODELS": TWO})
    two.azure.openai.script(*[{"status": 400}] * 30)
    for _ in range(30):
        assert caller.post("chat", json=HELLO).status_code == 400
    assert caller.post("chat", json=HELLO).status_code == 200
    assert set(called(two)) == {"one"}


def test_a_models_requests_never_go_to_another_models_deployments(two: App) -> None:
    caller = two.start({"MODELS": TWO, "MAX_ATTEMPTS": "4"})
    two.azure.openai.script_forever({"status": 500})
    for _ in range(5):
        assert caller.post("chat", json=HELLO).status_code == 502
    assert set(called(two)) == {"one", "two"}
    two.azure.openai.clear()
    assert caller.post("chat", json={**HELLO, "model": "else"}).json()["model"] == "else"
    assert called(two) == ["other"]


def test_while_all_are_rate_limited_the_smallest_wait_is_told(two: App) -> None:
    caller = two.start({"MODELS": TWO})
    two.azure.openai.script(*({"status": 429, "headers": {"retry-after": wait}} for wait in ("100", "90")))
    for _ in range(2):
        response = caller.post("chat", json={**HELLO, "timeout": 5})
        error = response.json()["error"]
        assert (response.status_code, error["code"], error["retryable"]) == (429, "rate_limited", True)
        assert error["retry_after"] == pytest.approx(90, abs=1)
        assert 89 <= int(response.headers["retry-after"]) <= 90
    assert called(two) == ["one", "two"]


def test_while_all_fail_they_are_left_alone_and_the_caller_is_told_when_to_come_again(two: App) -> None:
    caller = two.start({"MODELS": TWO, "MAX_ATTEMPTS": "2"})
    two.azure.openai.script_forever({"status": 500})
    body = {**HELLO, "timeout": 1.5}
    # The last one that is left is taken out only when it is plainly down: after twenty failures in a row.
    for _ in range(40):
        response = caller.post("chat", json=body)
        if response.status_code != 502:
            break
        assert response.json()["error"]["code"] == "upstream_unavailable"
    assert (response.status_code, response.json()["error"]["code"]) == (503, "no_deployment_available")
    assert 1 <= int(response.headers["retry-after"]) <= 6
    before = len(called(two))
    assert before > 20
    assert caller.post("chat", json=body).status_code == 503
    assert len(called(two)) == before


def test_a_short_cool_down_of_all_is_waited_for(two: App) -> None:
    caller = two.start({"MODELS": TWO})
    two.azure.openai.script(*[{"status": 429, "headers": {"retry-after-ms": "300"}}] * 2)
    assert caller.post("chat", json=HELLO).status_code == 200
    assert len(called(two)) == 3
    two.stop()
    assert lines(two, "request")[-1]["waited_ms"] > 200


def test_weights_share_the_requests_of_one_priority(two: App) -> None:
    pair = [{"deployment": "one", "priority": 1, "weight": 3}, {"deployment": "two", "priority": 1}]
    caller = two.start({"MODELS": models(*pair, {"deployment": "other", "priority": 2})})
    for _ in range(60):
        caller.post("chat", json=HELLO)
    # 45 on average; outside of this once in a million runs.
    assert 28 <= called(two).count("one") <= 58
    assert "other" not in called(two)


async def test_beyond_the_limit_requests_queue_and_beyond_that_they_are_refused(app: App) -> None:
    url = app.start({"MAX_CONCURRENT_REQUESTS": "1", "QUEUE_SIZE": "1"}).base_url
    app.azure.openai.script({"gate": "first", "after": 0})
    async with httpx2.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:

        async def ask() -> httpx2.Response:
            return await client.post("chat", json=HELLO)

        first = asyncio.create_task(ask())
        assert await asyncio.to_thread(app.azure.openai.wait_requests)
        pair = [asyncio.create_task(ask()) for _ in range(2)]
        (done,), (queued,) = await asyncio.wait(pair, return_when=asyncio.FIRST_COMPLETED)
        refused = done.result()
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
        assert 1 <= int(refused.headers["retry-after"]) <= 3
        # Who leaves the queue frees the place.
        queued.cancel()
        while True:
            another = asyncio.create_task(ask())
            await asyncio.wait([another], timeout=0.2)
            if not another.done():
                break
            assert another.result().status_code == 503
        assert len(app.azure.openai.requests) == 1
        app.azure.openai.open_gate("first")
        assert {(await first).status_code, (await another).status_code} == {200}


async def test_a_request_queues_only_so_long(app: App) -> None:
    url = app.start({"MAX_CONCURRENT_REQUESTS": "1", "QUEUE_SECONDS": "0.1"}).base_url
    app.azure.openai.script({"gate": "first", "after": 0})
    async with httpx2.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
        first = asyncio.create_task(client.post("chat", json=HELLO))
        assert await asyncio.to_thread(app.azure.openai.wait_requests)
        assert (await client.post("chat", json=HELLO)).json()["error"]["code"] == "overloaded"
        app.azure.openai.open_gate("first")
        assert (await first).status_code == 200


def test_a_full_deployment_is_passed_over(two: App) -> None:
    caller = two.start({"MODELS": models({"deployment": "one", "concurrency": 1}, {"deployment": "two"})})
    two.azure.openai.script({"chunks": ["a ", "b"], "gate": "held", "after": 1})
    with open_stream(caller, "chat", {**HELLO, "stream": True}) as held:
        held.until("text-delta")
        assert caller.post("chat", json=HELLO).status_code == 200
        two.azure.openai.open_gate("held")
        held.rest()
    assert called(two) == ["one", "two"]


@pytest.mark.parametrize(("own", "asked"), [("30", 0.2), ("0.2", 60)])
def test_a_request_can_only_lower_its_time(app: App, own: str, asked: float) -> None:
    caller = app.start({"REQUEST_TIMEOUT_SECONDS": own})
    app.azure.openai.script({"hang": True})
    response = caller.post("chat", json={**HELLO, "timeout": asked})
    assert (response.status_code, response.json()["error"]["code"]) == (504, "upstream_timeout")


def test_a_time_of_nothing_is_refused(caller: httpx2.Client) -> None:
    assert "timeout: input should be greater than 0" in caller.post("chat", json={**HELLO, "timeout": 0}).text


def test_a_picture_has_its_time_too(app: App) -> None:
    caller = app.start()
    app.azure.openai.script({"hang": True})
    files = {"image": ("a.jpg", (ROOT / "docs" / "example.jpg").read_bytes(), "image/jpeg")}
    response = caller.post("images/analyze", data={"instructions": "What?", "timeout": "0.3"}, files=files)
    assert response.json()["error"]["code"] == "upstream_timeout"
