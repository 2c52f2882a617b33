"""Who may call: a function key, or the platform's authentication."""

from __future__ import annotations

import httpx2
import pytest

from tests.conftest import App

HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
PRINCIPAL = {"x-ms-client-principal": "eyJ1c2VyIjoiYSJ9", "x-ms-client-principal-id": "a"}
IN_AZURE = {"CALLER_AUTH": "entra", "ENFORCE_CALLER_AUTH": "true"}


def test_a_function_key_is_asked_for_by_default_and_health_is_open(app: App) -> None:
    caller = app.start(enforce_auth=True, key="a-function-key")
    assert caller.post("chat", json=HELLO).status_code == 401
    assert caller.post("chat", json=HELLO, headers={"x-functions-key": "wrong"}).status_code == 401
    assert caller.post("chat", json=HELLO, headers={"x-functions-key": "a-function-key"}).status_code == 200
    assert caller.post("chat?code=a-function-key", json=HELLO).status_code == 200
    assert caller.get("health").status_code == 200


def test_on_a_laptop_neither_way_is_enforced(app: App) -> None:
    assert app.start().post("chat", json=HELLO).status_code == 200
    assert app.start({"CALLER_AUTH": "entra"}).post("chat", json=HELLO).status_code == 200


@pytest.mark.parametrize(
    ("auth_enabled", "headers"),
    [
        (None, {}),
        (None, PRINCIPAL),
        ("false", PRINCIPAL),
        ("True", {}),
        ("True", {"x-ms-client-principal-id": "a"}),
        ("True", {"x-ms-client-principal": ""}),
    ],
)
def test_entra_answers_401_to_whom_the_platform_has_not_authenticated(
    app: App, auth_enabled: str | None, headers: dict[str, str]
) -> None:
    caller = app.start({**IN_AZURE, "WEBSITE_AUTH_ENABLED": auth_enabled}, enforce_auth=True)
    response = caller.post("chat", json=HELLO, headers=headers)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "unauthorized"
    assert app.azure.openai.requests == []


def test_entra_needs_no_key_beside_the_platforms_principal(app: App) -> None:
    caller = app.start({**IN_AZURE, "WEBSITE_AUTH_ENABLED": "True"}, enforce_auth=True)
    assert caller.post("chat", json=HELLO, headers=PRINCIPAL).status_code == 200
    assert caller.get("health").status_code == 200


def test_in_azure_entra_is_enforced_without_being_asked(app: App) -> None:
    caller = app.start(
        {"CALLER_AUTH": "entra", "WEBSITE_SKU": "FlexConsumption", "AZURE_OPENAI_ENDPOINT": "https://x.example"},
        allow_mistakes=True,
    )
    assert caller.post("chat", json=HELLO, headers=PRINCIPAL).status_code == 401


def test_whoever_is_refused_learns_nothing_of_the_settings(app: App) -> None:
    settings = {**IN_AZURE, "MAX_MESSAGES": "none"}
    caller: httpx2.Client = app.start(settings, allow_mistakes=True)
    response = caller.post("chat", json=HELLO)
    assert response.status_code == 401
    assert "MAX_MESSAGES" not in response.text
