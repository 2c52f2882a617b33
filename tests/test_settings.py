"""What the operator configures, and how a mistake is told."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest

from dev import settings_pages
from shared.models import ModelMap
from shared.settings import KEY_VARIABLES, Settings
from tests.conftest import PLANTED_KEY, ROOT, App

AZURE = {
    "AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com",
    "AZURE_OPENAI_DEPLOYMENT": "chat",
    "WEBSITE_SKU": "FlexConsumption",
}
LAPTOP = {**AZURE, "WEBSITE_SKU": "", "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}


def mistakes(**environ: str) -> list[str]:
    return [str(mistake) for mistake in Settings.from_env({**AZURE, **environ}).mistakes]


def test_two_settings_are_enough() -> None:
    settings = Settings.from_env(AZURE)
    assert not settings.mistakes
    assert not settings.warnings
    assert not settings.development


def test_every_mistake_is_named_at_once_and_no_value_is_told() -> None:
    settings = Settings.from_env(
        {
            "AZURE_OPENAI_ENDPOINT": "ftp://secret@x",
            "MAX_BODY_BYTES": "plenty",
            "REQUEST_TIMEOUT_SECONDS": "300",
            "CALLER_AUTH": "none",
            "MODEL_PASS_THROUGH": "maybe",
            "DEFAULT_TEMPERATURE": "nan",
        }
    )
    assert {mistake.variable for mistake in settings.mistakes} == {
        "AZURE_OPENAI_ENDPOINT",
        "AZURE_OPENAI_DEPLOYMENT",
        "MAX_BODY_BYTES",
        "REQUEST_TIMEOUT_SECONDS",
        "CALLER_AUTH",
        "MODEL_PASS_THROUGH",
        "DEFAULT_TEMPERATURE",
    }
    told = " ".join(map(str, settings.mistakes))
    assert "secret" not in told
    assert "plenty" not in told
    # What is wrong keeps its default: the strict way of asking for callers, in the case that matters.
    assert settings.caller_auth == "key"


def test_an_empty_value_counts_as_absent() -> None:
    assert mistakes(AZURE_CLIENT_ID="", MAX_BODY_BYTES=" ", MODELS="") == []


@pytest.mark.parametrize(
    ("endpoint", "problem"),
    [
        ("http://x.openai.azure.com", "must begin with https://"),
        ("http://127.0.0.1:7073", "must begin with https://"),
        ("x.openai.azure.com", "is no https URL"),
        ("https://", "is no https URL"),
        ("https://x:port", "is no URL"),
        ("https://a..b", "is no https URL"),
        ("https://foo bar", "is no https URL"),
        ("https://x.openai.azure.com;a", "is no https URL"),
        ("https://@x.openai.azure.com", "must have no user"),
        ("https://user:pass@x.openai.azure.com", "must have no user"),
        ("https://x.openai.azure.com/?api-version=1", "must have no user, query"),
        ("https://x.openai.azure.com/v1/azure", "ends in /v1/azure, an older form"),
        ("https://x.openai.azure.com/openai/deployments/chat", "has a path that is not part"),
    ],
)
def test_an_endpoint_that_cannot_work_is_told_with_the_form_that_does(endpoint: str, problem: str) -> None:
    (mistake,) = mistakes(AZURE_OPENAI_ENDPOINT=endpoint)
    assert mistake.startswith(f"AZURE_OPENAI_ENDPOINT: {problem}")


def test_plain_http_is_for_loopback_on_a_development_host_alone() -> None:
    assert Settings.from_env({**LAPTOP, "AZURE_OPENAI_ENDPOINT": "http://127.0.0.1:7073"}).mistakes == ()
    assert Settings.from_env({**LAPTOP, "AZURE_OPENAI_ENDPOINT": "http://10.0.0.1"}).mistakes != ()


@pytest.mark.parametrize("variable", ["WEBSITE_INSTANCE_ID", "WEBSITE_POD_NAME", "CONTAINER_NAME", "WEBSITE_SKU"])
def test_nothing_that_azure_sets_passes_for_a_development_host(variable: str) -> None:
    assert Settings.from_env(LAPTOP).development
    settings = Settings.from_env({**LAPTOP, variable: "x"})
    assert not settings.development
    assert settings.credential_kind == "managed"


def test_a_host_that_only_looks_like_azure_is_told_which_variable_makes_it_so() -> None:
    environ = {**LAPTOP, "CONTAINER_NAME": "devbox", "AZURE_OPENAI_ENDPOINT": "http://127.0.0.1:7073"}
    (mistake,) = Settings.from_env(environ).mistakes
    assert "CONTAINER_NAME is set, which only Azure does" in str(mistake)


@pytest.mark.parametrize(
    ("environ", "kind"),
    [
        ({}, "managed"),
        ({"AZURE_FUNCTIONS_ENVIRONMENT": "Development", "WEBSITE_SKU": ""}, "developer"),
        (
            {"AZURE_FUNCTIONS_ENVIRONMENT": "Development", "WEBSITE_SKU": "", "IDENTITY_ENDPOINT": "http://x"},
            "managed",
        ),
        ({"AZURE_FEDERATED_TOKEN_FILE": "/var/token", "IDENTITY_ENDPOINT": "http://x"}, "workload"),
    ],
)
def test_there_is_one_kind_of_credential_for_each_place(environ: dict[str, str], kind: str) -> None:
    assert Settings.from_env({**AZURE, **environ}).credential_kind == kind


def test_a_federated_host_must_say_whose_token_it_has() -> None:
    assert "AZURE_CLIENT_ID and AZURE_TENANT_ID" in mistakes(AZURE_FEDERATED_TOKEN_FILE="/var/token")[0]


def test_older_names_are_understood_with_a_warning_and_the_newer_name_wins() -> None:
    settings = Settings.from_env({**LAPTOP, "AZURE_MANAGED_IDENTITY_CLIENT_ID": "old"})
    assert settings.client_id == "old"
    assert settings.warnings == (
        "AZURE_MANAGED_IDENTITY_CLIENT_ID is an older name of AZURE_CLIENT_ID; please use AZURE_CLIENT_ID.",
    )
    both = Settings.from_env({**LAPTOP, "AZURE_MANAGED_IDENTITY_CLIENT_ID": "old", "AZURE_CLIENT_ID": "new"})
    assert (both.client_id, both.warnings) == ("new", ())


@pytest.mark.parametrize(
    ("models", "problem"),
    [
        ("[]", "must be a JSON object"),
        ("{}", "must be a JSON object with at least one entry"),
        ('{"a": {}', "is not valid JSON"),
        ("no/such/file.json", "is neither a JSON object nor the path of a file"),
        ('{"a": {"deploy": "x"}}', "(at a.deploy)"),
        ('{"a": {"deploy": "x"}}', "has a key that is none of: deployment, endpoint, deployments, family,"),
        ('{"a": {"family": "fast"}}', "(at a.family)"),
        ('{"a": {"max_output_tokens": "many"}}', "(at a.max_output_tokens)"),
        ('{"": {}}', "has an entry whose name is none"),
        ('{"a": {"deployment": " "}}', "(at a.deployment)"),
        ('{"a": {"endpoint": "http://x"}}', "must begin with https://. (Plain http is"),
        ('{"a": {"deployments": []}}', "(at a.deployments)"),
        ('{"a": {"deployments": [{}]}}', "(at a.deployments.0.deployment)"),
        ('{"a": {"deployments": [{"deployment": "x", "weight": 0}]}}', "(at a.deployments.0.weight)"),
        ('{"a": {"deployments": [{"deployment": "x", "kind": "fast"}]}}', "(at a.deployments.0.kind)"),
        ('{"a": {"deployments": [{"deployment": "x", "concurrency": 0}]}}', "(at a.deployments.0.concurrency)"),
        ('{"a": {"deployments": [{"deployment": "x", "endpoint": "ftp://x"}]}}', "endpoint is no https URL"),
        ('{"a": {"deployment": "x", "deployments": [{"deployment": "y"}]}}', "not both (at a)"),
        (
            '{"a": {"deployments": [{"deployment": "x"}, {"deployment": "x",'
            ' "endpoint": "https://X.openai.azure.com:443/openai/v1/"}]}}',
            "the same deployment is there twice (at a.deployments.1)",
        ),
        (
            '{"a": {"deployments": [{"deployment": "x", "tokens_per_minute": 5}]},'
            ' "b": {"deployments": [{"deployment": "x", "tokens_per_minute": 6}]}}',
            "tokens_per_minute differs from that of the same deployment at a.deployments.0 (at b.deployments.0)",
        ),
        (
            '{"a": {"max_output_tokens": 100, "default_max_output_tokens": 200}}',
            "default_max_output_tokens must not exceed max_output_tokens (at a)",
        ),
    ],
)
def test_a_mistake_in_the_model_map_says_where_it_is(models: str, problem: str) -> None:
    (mistake,) = mistakes(MODELS=models)
    assert mistake.startswith("MODELS: ")
    assert problem in mistake


def test_every_mistake_of_the_model_map_is_named_at_once_with_its_place() -> None:
    models = {
        "good": {},
        "": {},
        "a": {"deploy": "x", "family": "fast", "endpoint": "http://x"},
        "b": {"deployments": [{"deployment": "x"}, {"deployment": "x"}, {"deployment": 5}, 6]},
        "c": 7,
        "d": {"deployments": 8},
    }
    told = mistakes(MODELS=json.dumps(models), DEFAULT_MODEL="good", MAX_IMAGES="0")
    places = [one.rpartition("(at ")[2].rstrip(")") for one in told if one.startswith("MODELS: ")]
    assert sorted(places) == [
        "",
        "a",
        "a.deploy",
        "a.family",
        "b.deployments.1",
        "b.deployments.2.deployment",
        "b.deployments.3",
        "c",
        "d.deployments",
    ]
    assert [one for one in told if not one.startswith("MODELS: ")] == [
        "MAX_IMAGES: Input should be greater than or equal to 1"
    ]


def test_a_map_whose_deployments_all_name_their_resource_needs_no_other() -> None:
    entry = {"deployments": [{"deployment": "x", "endpoint": "https://y.openai.azure.com"}]}
    assert mistakes(AZURE_OPENAI_ENDPOINT="", MODELS=json.dumps({"a": entry})) == []
    assert mistakes(AZURE_OPENAI_ENDPOINT="", MODELS=json.dumps({"a": entry, "b": {}})) == [
        "MODELS: needs an endpoint, as AZURE_OPENAI_ENDPOINT is not set (at b)"
    ]
    passed_through = mistakes(AZURE_OPENAI_ENDPOINT="", MODELS=json.dumps({"a": entry}), MODEL_PASS_THROUGH="true")
    assert passed_through == ["AZURE_OPENAI_ENDPOINT: is not set. Set it to https://NAME.openai.azure.com."]


def test_what_is_said_of_a_deployments_limits_holds_wherever_it_is_named() -> None:
    listed = [{"deployment": "x", "priority": 2, "requests_per_minute": 60, "kind": "provisioned", "concurrency": 4}]
    models = {"b": {"deployment": "x"}, "a": {"deployments": [*listed, {"deployment": "y"}]}}
    chosen = ModelMap.from_settings(Settings.from_env({**AZURE, "MODELS": json.dumps(models)}))
    (one,), (two, other) = chosen.models["b"].deployments, chosen.models["a"].deployments
    assert (one.requests_per_minute, one.kind, one.concurrency) == (60, "provisioned", 4)
    # Its place among others is each model's own.
    assert (one.priority, two.priority) == (1, 2)
    assert (other.requests_per_minute, other.kind) == (None, "standard")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("rediss://[::", "is no URL"),
        ("x.redis.azure.net", "must be a URL as rediss://"),
        ("rediss://:secret@x.redis.azure.net:10000", "must not hold a user or a password"),
        ("rediss://x.redis.azure.net:10000?password=secret", "must not hold a user or a password"),
        ("redis://x.redis.azure.net:10000", "must begin with rediss://"),
    ],
)
def test_a_redis_that_must_not_be_used_is_told_without_its_password(url: str, problem: str) -> None:
    (mistake,) = mistakes(REDIS_URL=url)
    assert mistake.startswith(f"REDIS_URL: {problem}")
    assert "secret" not in mistake


def test_redis_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    assert mistakes(REDIS_URL="rediss://x.redis.azure.net:10000") == [
        "REDIS_URL: needs the package redis: install requirements-redis.txt too."
    ]


def test_redis_is_signed_in_to_but_on_a_laptops_own() -> None:
    assert Settings.from_env({**AZURE, "REDIS_URL": "rediss://x.redis.azure.net:10000"}).redis_takes_a_token
    assert Settings.from_env({**AZURE, "REDIS_URL": "redis://127.0.0.1:6379"}).redis_takes_a_token
    assert not Settings.from_env({**LAPTOP, "REDIS_URL": "redis://127.0.0.1:6379"}).redis_takes_a_token


def test_the_model_map_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "models.json"
    path.write_text('{"fast": {"deployment": "chat"}}', encoding="utf-8")
    assert Settings.from_env({**AZURE, "MODELS": str(path)}).models["fast"].deployment == "chat"


def test_the_default_model_must_be_in_the_map() -> None:
    assert mistakes(MODELS='{"a": {}, "b": {}}', DEFAULT_MODEL="c") == [
        "DEFAULT_MODEL: is not one of the models, which are: a, b."
    ]


def test_a_default_model_without_a_map_is_the_deployment_or_a_mistake() -> None:
    assert mistakes(DEFAULT_MODEL="chat") == []
    assert mistakes(DEFAULT_MODEL="other") == ["DEFAULT_MODEL: is not one of the models, which are: chat."]


def test_a_default_may_not_exceed_its_cap() -> None:
    assert mistakes(MAX_OUTPUT_TOKENS="100", DEFAULT_MAX_OUTPUT_TOKENS="200") == [
        "DEFAULT_MAX_OUTPUT_TOKENS: must not exceed MAX_OUTPUT_TOKENS."
    ]
    # A cap below the default that nobody asked for just lowers it.
    assert mistakes(MAX_OUTPUT_TOKENS="100") == []


@pytest.mark.parametrize("variable", KEY_VARIABLES)
def test_a_key_in_azure_is_refused_by_name_before_anything_is_sent(app: App, variable: str) -> None:
    caller = app.start(
        {
            "WEBSITE_SKU": "FlexConsumption",
            "AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com",
            variable: PLANTED_KEY,
        },
        allow_mistakes=True,
    )
    response = caller.post("chat", json=HELLO)
    assert response.status_code == 503
    error = response.json()["error"]
    assert error["code"] == "misconfigured"
    assert f"{variable}: must not be set" in error["message"]
    assert "Delete the app setting" in error["message"]
    assert caller.get("health").status_code == 200
    assert app.azure.identity.requests == app.azure.openai.requests == []


def test_a_key_on_a_laptop_is_ignored_with_one_warning(app: App) -> None:
    planted = dict.fromkeys(KEY_VARIABLES, PLANTED_KEY)
    # The SDK itself would take these from the environment.
    planted |= {
        "OPENAI_CUSTOM_HEADERS": f"api-key: {PLANTED_KEY}\nAuthorization: Bearer {PLANTED_KEY}\nx-other: 1"
        "\nHost: evil.example\nContent-Type: text/evil\nUser-Agent: evil\nConnection: x-evil",
        # A proxy has no part in what is on this machine.
        "HTTP_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
        "OPENAI_ORG_ID": PLANTED_KEY,
        "OPENAI_PROJECT_ID": PLANTED_KEY,
        "OPENAI_ADMIN_KEY": PLANTED_KEY,
        "OPENAI_BASE_URL": "http://127.0.0.1:9",
        "OPENAI_LOG": "debug",
    }
    before = len(app.told.lines)
    caller = app.start(dict(planted))
    assert caller.post("chat", json=HELLO).status_code == 200
    (request,) = app.azure.openai.requests
    assert set(request.headers) <= {
        "host",
        "authorization",
        "content-type",
        "content-length",
        "accept",
        "accept-encoding",
        "connection",
        "user-agent",
    }
    assert PLANTED_KEY not in str(request)
    assert "evil" not in str(request.headers)
    warnings = [
        line for line in app.told.lines[before:] if "ignored. This app reaches Azure OpenAI by its identity" in line
    ]
    assert len(warnings) == 1


def test_mistakes_are_logged_when_the_worker_starts(app: App) -> None:
    app.start({"AZURE_OPENAI_ENDPOINT": None, "MAX_MESSAGES": "0"}, allow_mistakes=True, warm_up=False)
    errors = [line for line in app.told.lines if f"app {logging.getLevelName(logging.ERROR)} misconfigured: " in line]
    assert any("AZURE_OPENAI_ENDPOINT: is not set" in line for line in errors)
    assert any("MAX_MESSAGES: " in line for line in errors)


def test_documented_settings_are_the_settings() -> None:
    """docs/settings.md and the example file are made from the settings: `python -m dev settings` makes them anew."""
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == settings_pages.settings_page()
    assert (ROOT / "local.settings.json.example").read_text(encoding="utf-8") == settings_pages.example_file()


def test_the_example_file_makes_settings_without_a_mistake() -> None:
    values = json.loads(settings_pages.example_file())["Values"]
    settings = Settings.from_env({**values, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"})
    assert not settings.mistakes
    assert not settings.warnings
    assert settings.credential_kind == "managed"
