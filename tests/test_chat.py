"""`POST /api/chat`, told as one JSON answer."""

from __future__ import annotations

import base64
from typing import Any

import httpx2
import pytest

from tests.conftest import App

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PICTURE = "data:image/png;base64," + base64.b64encode(PNG).decode()


def said(text: Any, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": text}


def sent(app: App) -> dict[str, Any]:
    """The body of the one request that reached Azure OpenAI."""
    (request,) = app.azure.openai.requests
    return dict(request.json())


def test_a_message_gets_an_answer_with_its_usage(app: App) -> None:
    caller = app.start()
    app.azure.openai.script(
        {
            "text": "Good morning.",
            "usage": {
                "input_tokens": 11,
                "output_tokens": 7,
                "input_tokens_details": {"cached_tokens": 3},
                "output_tokens_details": {"reasoning_tokens": 2},
            },
        }
    )
    response = caller.post("chat", json={"messages": [said("Hello")]})
    assert response.status_code == 200
    answer = response.json()
    assert answer.pop("id") == f"chat_{response.headers['x-request-id']}"
    assert answer == {
        "model": "gpt-4.1-mini",
        "message": {"role": "assistant", "content": "Good morning."},
        "finish_reason": "stop",
        "usage": {"input_tokens": 11, "output_tokens": 7, "cached_tokens": 3, "reasoning_tokens": 2},
    }


def test_the_upstream_is_called_with_a_bearer_token_and_stores_nothing(app: App) -> None:
    app.start().post("chat", json={"messages": [said("Hello")]})
    (request,) = app.azure.openai.requests
    assert request.path == "/openai/v1/responses"
    assert request.query == {}
    assert request.headers["authorization"].startswith("Bearer ey")
    body = request.json()
    assert body["store"] is False
    assert body["model"] == "gpt-4.1-mini"


def test_a_conversation_reaches_the_model_in_order_with_its_pictures(app: App) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}},
    ]
    response = app.start().post(
        "chat",
        json={
            "instructions": "Be brief.",
            "messages": [said("You are kind.", "system"), said("Hi"), said("Hello!", "assistant"), said(parts)],
        },
    )
    assert response.status_code == 200
    body = sent(app)
    assert body["instructions"] == "Be brief."
    assert body["input"] == [
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "You are kind."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello!"}]},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is this?"},
                {"type": "input_image", "image_url": PICTURE, "detail": "low"},
            ],
        },
    ]


@pytest.mark.parametrize("name", ["max_output_tokens", "max_tokens", "max_completion_tokens"])
def test_the_token_limit_is_understood_under_each_of_its_names(app: App, name: str) -> None:
    app.start().post("chat", json={"messages": [said("Hi")], name: 100})
    assert sent(app)["max_output_tokens"] == 100


def test_two_names_of_the_token_limit_at_once_are_refused(caller: httpx2.Client) -> None:
    response = caller.post("chat", json={"messages": [said("Hi")], "max_tokens": 100, "max_output_tokens": 100})
    assert response.status_code == 400
    assert "send only max_output_tokens" in response.json()["error"]["message"]


def test_the_token_limit_is_lowered_to_the_apps_cap(app: App) -> None:
    caller = app.start({"MAX_OUTPUT_TOKENS": "500", "DEFAULT_MAX_OUTPUT_TOKENS": "300"})
    caller.post("chat", json={"messages": [said("Hi")], "max_output_tokens": 100_000})
    caller.post("chat", json={"messages": [said("Hi")]})
    assert [one.json()["max_output_tokens"] for one in app.azure.openai.requests] == [500, 300]


def test_defaults_of_the_settings_apply_where_a_request_is_silent(app: App) -> None:
    caller = app.start({"DEFAULT_TEMPERATURE": "0.2", "DEFAULT_INSTRUCTIONS": "Answer in French."})
    caller.post("chat", json={"messages": [said("Hi")]})
    caller.post("chat", json={"messages": [said("Hi")], "temperature": 0, "instructions": "Answer in German."})
    first, second = (one.json() for one in app.azure.openai.requests)
    assert (first["temperature"], first["instructions"]) == (0.2, "Answer in French.")
    assert (second["temperature"], second["instructions"]) == (0, "Answer in German.")


def test_a_reasoning_model_gets_an_effort_and_no_temperature(app: App) -> None:
    caller = app.start({"AZURE_OPENAI_DEPLOYMENT": "gpt-5.4-mini", "DEFAULT_TEMPERATURE": "0.2"})
    response = caller.post("chat", json={"messages": [said("Hi")], "temperature": 1, "reasoning_effort": "low"})
    assert response.status_code == 200
    body = sent(app)
    assert body["reasoning"] == {"effort": "low"}
    assert "temperature" not in body


def test_an_answer_can_be_asked_for_as_json_of_a_schema(app: App) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    response = app.start().post(
        "chat",
        json={
            "messages": [said("Where?")],
            "response_format": {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}},
        },
    )
    assert response.status_code == 200
    assert sent(app)["text"] == {"format": {"type": "json_schema", "name": "place", "schema": schema, "strict": True}}
    assert response.json()["message"]["content"].startswith('{"city"')


def test_any_json_object_can_be_asked_for(app: App) -> None:
    app.start().post("chat", json={"messages": [said("Give JSON")], "response_format": {"type": "json_object"}})
    assert sent(app)["text"] == {"format": {"type": "json_object"}}


@pytest.mark.parametrize("place", ["message", "instructions", "setting"])
def test_the_word_json_may_be_anywhere_in_what_the_model_reads(app: App, place: str) -> None:
    caller = app.start({"DEFAULT_INSTRUCTIONS": "Answer in Json."} if place == "setting" else {})
    # Only what is clear is refused here: whether this is enough is the upstream's to say.
    app.azure.openai.script({"text": "{}"})
    body = {"messages": [said("As JSON" if place == "message" else "Hi")], "response_format": {"type": "json_object"}}
    if place == "instructions":
        body["instructions"] = "Use jsonlines."
    assert caller.post("chat", json=body).status_code == 200


def test_an_answer_cut_at_its_limit_says_so(app: App) -> None:
    caller = app.start()
    app.azure.openai.script({"text": "A long st", "finish": "length"})
    assert caller.post("chat", json={"messages": [said("Tell")]}).json()["finish_reason"] == "length"


def test_an_answer_cut_by_the_content_filter_says_so_and_keeps_what_was_said(app: App) -> None:
    caller = app.start()
    app.azure.openai.script({"text": "Once upon", "finish": "content_filter"})
    answer = caller.post("chat", json={"messages": [said("Tell")]}).json()
    assert answer["finish_reason"] == "content_filter"
    assert answer["message"]["content"].startswith("Once")


def test_models_are_chosen_by_name_with_their_own_limits(app: App) -> None:
    models = """{
        "fast": {"deployment": "gpt-4.1-mini", "max_output_tokens": 64, "temperature": 0.5},
        "deep": {"deployment": "gpt-5.4-mini", "family": "reasoning", "reasoning_effort": "high"}
    }"""
    caller = app.start({"MODELS": models, "DEFAULT_MODEL": "deep", "AZURE_OPENAI_DEPLOYMENT": None})
    names = [
        caller.post("chat", json={"messages": [said("Hi")], **asked}).json()["model"]
        for asked in ({}, {"model": "fast"}, {"model": "azure/fast"}, {"model": "azure/o_series/deep"})
    ]
    assert names == ["deep", "fast", "fast", "deep"]
    bodies = [one.json() for one in app.azure.openai.requests]
    assert [body["model"] for body in bodies] == ["gpt-5.4-mini", "gpt-4.1-mini", "gpt-4.1-mini", "gpt-5.4-mini"]
    assert bodies[0]["reasoning"] == {"effort": "high"}
    assert (bodies[1]["temperature"], bodies[1]["max_output_tokens"]) == (0.5, 64)


def test_a_models_caps_hold_whatever_a_request_asks(app: App) -> None:
    models = """{
        "fast": {"deployment": "gpt-4.1-mini", "max_temperature": 0.5},
        "warm": {"deployment": "gpt-4.1-mini", "max_temperature": 1.5},
        "deep": {"deployment": "gpt-5.4-mini", "max_reasoning_effort": "low"},
        "free": {"deployment": "gpt-5.4-mini", "max_reasoning_effort": "high"}
    }"""
    caller = app.start({"MODELS": models})
    for model in ("fast", "warm", "deep", "free"):
        for asked in (
            {},
            {"temperature": 2, "reasoning_effort": "xhigh"},
            {"temperature": 0, "reasoning_effort": "none"},
        ):
            assert caller.post("chat", json={"messages": [said("Hi")], "model": model, **asked}).status_code == 200
    bodies = [one.json() for one in app.azure.openai.requests]
    # Where nobody says, a cap below what a model would take by itself is sent, one above it is not.
    assert [body.get("temperature") for body in bodies[:6]] == [0.5, 0.5, 0, None, 1.5, 0]
    efforts = [body.get("reasoning", {}).get("effort") for body in bodies[6:]]
    assert efforts == ["low", "low", "none", None, "high", "none"]


def test_an_unknown_model_is_told_with_the_names_that_are_offered(caller: httpx2.Client) -> None:
    response = caller.post("chat", json={"messages": [said("Hi")], "model": "gpt-9"})
    assert response.status_code == 404
    error = response.json()["error"]
    assert error["code"] == "model_not_found"
    assert error["message"] == "There is no model of this name. Use one of: gpt-4.1-mini."


def test_an_unknown_model_is_tried_as_a_deployment_only_by_switch(app: App) -> None:
    caller = app.start({"MODEL_PASS_THROUGH": "true"})
    assert caller.post("chat", json={"messages": [said("Hi")], "model": "gpt-5.4-mini"}).status_code == 200
    assert sent(app)["model"] == "gpt-5.4-mini"
    # What can be no deployment's name goes no further.
    assert caller.post("chat", json={"messages": [said("Hi")], "model": "a name\n"}).status_code == 404
    assert len(app.azure.openai.requests) == 1


def test_an_api_version_is_sent_only_when_it_is_set(app: App) -> None:
    app.start({"AZURE_OPENAI_API_VERSION": "preview"}).post("chat", json={"messages": [said("Hi")]})
    assert app.azure.openai.requests[0].query == {"api-version": "preview"}


@pytest.mark.parametrize("form", ["{}", "{}/", "{}/openai", "{}/openai/v1", "{}/openai/v1/"])
def test_the_endpoint_is_understood_in_each_of_its_forms(app: App, form: str) -> None:
    endpoint = form.format(app.azure.environ()["AZURE_OPENAI_ENDPOINT"])
    caller = app.start({"AZURE_OPENAI_ENDPOINT": None, "AZURE_OPENAI_BASE_URL": endpoint})
    assert caller.post("chat", json={"messages": [said("Hi")]}).status_code == 200


def test_health_touches_nothing(app: App) -> None:
    response = app.start(warm_up=False).get("health")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert app.azure.identity.requests == app.azure.openai.requests == []
