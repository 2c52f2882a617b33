"""What a deployment refuses is learnt from it once, and left out from then on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import App

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}


def refuses(parameter: str, code: str = "unsupported_parameter") -> dict[str, Any]:
    error = {"message": "x", "type": "invalid_request_error", "param": parameter, "code": code}
    return {"status": 400, "error": error}


def sent(app: App, name: str) -> list[Any]:
    """What the requests so far had under this name."""
    return [one.json().get(name) for one in app.azure.openai.requests]


def test_a_reasoning_model_behind_a_name_that_hides_it_gets_no_temperature_twice(app: App) -> None:
    caller = app.start({"MODELS": '{"fast": {"deployment": "gpt-5.4-mini", "family": "chat"}}'})
    for _ in range(3):
        assert caller.post("chat", json={**HELLO, "temperature": 0.2}).status_code == 200
    assert sent(app, "temperature") == [0.2, None, None, None]
    told = [line for line in app.told.lines if "does not take temperature: it is left out from now on" in line]
    assert len(told) == 1


def test_a_chat_model_that_is_taken_for_a_reasoning_one_gets_no_effort_twice(app: App) -> None:
    caller = app.start({"MODELS": '{"deep": {"deployment": "gpt-4.1-mini", "family": "reasoning"}}'})
    for _ in range(2):
        assert caller.post("chat", json={**HELLO, "reasoning_effort": "low"}).status_code == 200
    assert sent(app, "reasoning") == [{"effort": "low"}, None, None]


def test_one_value_that_is_refused_does_not_take_the_parameter_from_others(app: App) -> None:
    environ = {"MODELS": '{"deep": {"deployment": "gpt-5.4-mini"}}', "REASONING_SUMMARY": "auto"}
    caller = app.start(environ)
    app.azure.openai.script(refuses("reasoning.effort", "unsupported_value"))
    for effort in ("xhigh", "xhigh", "low"):
        assert caller.post("chat", json={**HELLO, "reasoning_effort": effort}).status_code == 200
    assert [one.get("effort") for one in sent(app, "reasoning")] == ["xhigh", None, None, "low"]
    assert {one["summary"] for one in sent(app, "reasoning")} == {"auto"}


def test_several_parameters_are_learnt_one_after_the_other(app: App) -> None:
    caller = app.start()
    app.azure.openai.script(refuses("temperature"), refuses("max_output_tokens"))
    assert caller.post("chat", json={**HELLO, "temperature": 1}).status_code == 200
    assert sent(app, "temperature") == [1, None, None]
    assert sent(app, "max_output_tokens") == [4096, 4096, None]


@pytest.mark.parametrize(
    "step",
    [
        refuses("text.format"),
        refuses("input"),
        refuses("max_output_tokens", "unsupported_value"),
        {"status": 400, "error": {"code": "unsupported_parameter", "param": None, "message": "x"}},
        {"status": 400, "error": {"code": "unsupported_parameter", "param": ["temperature"], "message": "x"}},
    ],
)
def test_what_would_make_it_another_answer_is_told_and_not_left_out(app: App, step: dict[str, Any]) -> None:
    caller = app.start()
    app.azure.openai.script(step)
    response = caller.post("chat", json=HELLO)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "upstream_rejected")
    assert len(app.azure.openai.requests) == 1


def test_a_deployment_that_refuses_what_was_left_out_already_is_not_asked_without_end(app: App) -> None:
    caller = app.start()
    app.azure.openai.script_forever(refuses("temperature"))
    assert caller.post("chat", json={**HELLO, "temperature": 1}).status_code == 400
    assert len(app.azure.openai.requests) == 2
