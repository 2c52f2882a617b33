"""`GET /api/ready`: can this app serve, and if not, what is broken?"""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from dev.emulator.tokens import SYSTEM_ASSIGNED
from shared import errors
from shared.azure.identity import Passport
from shared.reach import Place, kind_of
from shared.readiness import Readiness, Report, Rung
from shared.remedies import Remedies
from shared.settings import Settings
from tests.conftest import PLANTED_KEY, App

CLIENT_ID = "11111111-2222-4333-8444-555555555555"
IN_AZURE = {
    "WEBSITE_SKU": "FlexConsumption",
    "AZURE_FUNCTIONS_ENVIRONMENT": "Production",
    "WEBSITE_SITE_NAME": "my-app",
    "AZURE_OPENAI_ENDPOINT": "https://my-models.openai.azure.com",
    "AZURE_OPENAI_DEPLOYMENT": "chat",
    "KEY_VAULT_URL": "",
    "WEATHER_URL": "",
    "WEATHER_GEOCODING_URL": "",
}
GROUP = '"$(az functionapp list --query "[?name==\'my-app\'].resourceGroup" --output tsv)"'
PLACE = Place("my-models.openai.azure.com", 443, True)


def broken(response: httpx2.Response) -> dict[str, Any]:
    """The one broken rung of a 503."""
    assert response.status_code == 503
    assert response.json()["status"] == "not_ready"
    (rung,) = (one for one in response.json()["rungs"] if one["state"] == "failed")
    return dict(rung)


def test_an_app_that_can_serve_says_so_and_spends_nothing(app: App) -> None:
    response = app.start().get("ready")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert response.json()["status"] == "ready"
    states = {one["name"]: one["state"] for one in response.json()["rungs"]}
    assert states == dict.fromkeys(["settings", "identity", "token", "dns", "reach", "role"], "ok")
    assert [(one.method, one.path) for one in app.azure.openai.requests] == [("GET", "/openai/v1/models")]


def test_a_missing_role_is_a_503_that_says_when_to_ask_again(app: App) -> None:
    app.azure.openai.role_granted = False
    response = app.start().get("ready")
    rung = broken(response)
    assert (rung["name"], rung["retry_after"], response.headers["retry-after"]) == ("role", 60, "60")
    assert SYSTEM_ASSIGNED.object_id in rung["mend"][0]["command"]


def test_it_is_ready_once_the_role_is_there(app: App) -> None:
    caller = app.start({"READY_CACHE_SECONDS": "0"})
    app.azure.openai.role_granted = False
    before = len(app.told.lines)
    assert [caller.get("ready").status_code for _ in range(2)] == [503, 503]
    app.azure.openai.role_granted = True
    assert [caller.get("ready").status_code for _ in range(2)] == [200, 200]
    logged = [line for line in app.told.lines[before:] if line.startswith("app.ready ")]
    assert logged == ["app.ready WARNING not ready: role", "app.ready INFO ready again"]


def test_the_answer_is_kept_for_some_seconds(app: App) -> None:
    caller = app.start()
    assert [caller.get("ready").status_code for _ in range(3)] == [200] * 3
    assert len(app.azure.openai.requests) == 1


def test_callers_at_once_share_one_climb(app: App) -> None:
    caller = app.start({"READY_CACHE_SECONDS": "0"}, warm_up=False)
    app.azure.identity.script({"gate": "token"})
    with ThreadPoolExecutor(8) as crowd:
        answers = [crowd.submit(caller.get, "ready") for _ in range(8)]
        assert app.azure.identity.wait_gate("token")
        app.azure.identity.open_gate("token")
        assert {answer.result().status_code for answer in answers} == {200}
    assert len(app.azure.identity.requests) == 1


def test_an_outage_of_the_identity_endpoint_is_told(app: App) -> None:
    app.azure.identity.script_forever({"status": 500})
    response = app.start(warm_up=False).get("ready")
    assert broken(response)["name"] == "identity"
    assert response.headers["retry-after"] == "5"


def test_a_model_with_another_resource_left_is_served(app: App, closed_port: int) -> None:
    far = {"deployment": "gpt-4.1-mini", "endpoint": f"http://127.0.0.1:{closed_port}"}
    pooled = {"chat": {"deployments": [far, {"deployment": "gpt-4.1-mini"}]}}
    response = app.start({"MODELS": json.dumps(pooled)}).get("ready")
    assert (response.status_code, response.json()["status"]) == (200, "ready")
    (rung,) = (one for one in response.json()["rungs"] if one["state"] == "failed")
    assert (rung["name"], rung["of"]) == ("reach", f"127.0.0.1:{closed_port}")
    app.stop()
    lonely = {**pooled, "other": far}
    assert broken(app.start({"MODELS": json.dumps(lonely)}).get("ready"))["name"] == "reach"


def test_a_deployment_that_is_not_there_shows_once_it_has_refused_a_call(app: App) -> None:
    caller = app.start({"AZURE_OPENAI_DEPLOYMENT": "absent", "READY_CACHE_SECONDS": "0"})
    # To ask it would cost tokens: that is the doctor's to do.
    assert caller.get("ready").status_code == 200
    assert caller.post("chat", json={"messages": [{"role": "user", "content": "Hello"}]}).status_code == 502
    rung = broken(caller.get("ready"))
    assert (rung["name"], rung["of"]) == ("deployment", "absent")
    assert any("deployment list" in mend["command"] for mend in rung["mend"])


def test_a_model_with_another_deployment_left_is_served_and_the_refused_one_is_shown(app: App) -> None:
    pooled = {"chat": {"deployments": [{"deployment": "absent"}, {"deployment": "gpt-4.1-mini", "priority": 2}]}}
    caller = app.start({"MODELS": json.dumps(pooled), "READY_CACHE_SECONDS": "0"})
    assert caller.post("chat", json={"messages": [{"role": "user", "content": "Hello"}]}).status_code == 200
    response = caller.get("ready")
    assert (response.status_code, response.json()["status"]) == (200, "ready")
    assert [one["of"] for one in response.json()["rungs"] if one["state"] == "failed"] == ["absent"]


def test_wrong_settings_are_told_here_too(app: App) -> None:
    caller = app.start({**IN_AZURE, "OPENAI_API_KEY": PLANTED_KEY, "MAX_MESSAGES": "none"}, allow_mistakes=True)
    response = caller.get("ready")
    rung = broken(response)
    assert rung["name"] == "settings"
    assert "retry-after" not in response.headers
    assert [mend["command"] for mend in rung["mend"]] == [
        f"az functionapp config appsettings set --name my-app --resource-group {GROUP} --settings MAX_MESSAGES=VALUE",
        f"az functionapp config appsettings delete --name my-app --resource-group {GROUP}"
        " --setting-names OPENAI_API_KEY",
    ]
    assert PLANTED_KEY not in response.text


def test_it_asks_for_a_function_key(app: App) -> None:
    caller = app.start(enforce_auth=True, key="the-key")
    assert caller.get("ready").status_code == 401
    assert caller.get("ready", headers={"x-functions-key": "the-key"}).status_code == 200


def test_where_callers_sign_in_it_is_for_them_alone(app: App) -> None:
    response = app.start({"CALLER_AUTH": "entra", "ENFORCE_CALLER_AUTH": "true"}).get("ready")
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "unauthorized"


def test_an_app_without_the_identity_that_its_settings_name(app: App) -> None:
    caller = app.start({**IN_AZURE, "AZURE_CLIENT_ID": CLIENT_ID}, warm_up=False)
    rung = broken(caller.get("ready"))
    assert rung["meaning"] == "The app has no user-assigned identity with the client id in AZURE_CLIENT_ID."
    assert [mend["command"] for mend in rung["mend"]] == [
        f"az functionapp identity show --name my-app --resource-group {GROUP}",
        f"az functionapp identity assign --name my-app --resource-group {GROUP} --identities"
        f' "$(az identity list --query "[?clientId==\'{CLIENT_ID}\'].id" --output tsv)"',
    ]


def remedies(**environ: str) -> Remedies:
    """The remedies of an app in Azure."""
    return Remedies(Settings.from_env({**IN_AZURE, "IDENTITY_ENDPOINT": "http://127.0.0.1", **environ}))


def test_an_app_without_any_identity_is_given_one() -> None:
    trouble = remedies().identity(errors.IdentityUnavailable(fault="refused"))
    assert trouble.meaning.startswith("The app has no system-assigned identity.")
    assert trouble.mend[1].command == f"az functionapp identity assign --name my-app --resource-group {GROUP}"


def test_an_endpoint_that_is_out_of_order_passes() -> None:
    trouble = remedies().identity(errors.IdentityUnavailable(fault="unreachable", retry_after=5))
    assert "passes by itself" in trouble.meaning
    assert trouble.retry_after == 5


def test_nothing_of_the_settings_gets_into_a_command_unless_it_is_a_name() -> None:
    spoiled = remedies(WEBSITE_SITE_NAME="$(reboot)", AZURE_CLIENT_ID="$(reboot)")
    trouble = spoiled.identity(errors.IdentityUnavailable(fault="refused"))
    assert "reboot" not in str(trouble)
    assert "--identities RESOURCE_ID" in trouble.mend[1].command


@pytest.mark.parametrize(
    ("fault", "meaning"),
    [("refused", "Entra ID does not exchange the cluster's token"), ("unreachable", "Entra ID (login.microsoft")],
)
def test_a_cluster_whose_token_is_not_taken(fault: errors.IdentityFault, meaning: str) -> None:
    federated = {"AZURE_FEDERATED_TOKEN_FILE": "/t", "AZURE_CLIENT_ID": CLIENT_ID, "AZURE_TENANT_ID": CLIENT_ID}
    assert remedies(**federated).identity(errors.IdentityUnavailable(fault=fault)).meaning.startswith(meaning)


def test_the_commands_name_the_account_where_its_address_tells_it() -> None:
    person = Passport("", "oid-of-mine", "", "", "User", 0)
    listing, create, _ = remedies().role(PLACE, person, errors.UpstreamForbidden()).mend
    scope = (
        '"$(az cognitiveservices account list --query "[?properties.customSubDomainName==\'my-models\'].id"'
        ' --output tsv)"'
    )
    assert f"--assignee oid-of-mine --scope {scope} " in listing.command
    assert f"--assignee-principal-type User --scope {scope}" in create.command


def test_dns_that_does_not_answer_is_told_apart_from_a_name_that_is_not_there() -> None:
    silent, unknown = remedies().dns("silent"), remedies().dns("unknown")
    assert silent.meaning == "DNS does not answer."
    assert "misspelled" in unknown.meaning


def test_each_address_is_said_to_be_public_private_or_here() -> None:
    assert [kind_of(address) for address in ("10.20.0.4", "20.1.2.3", "::1", "fe80::1%eth0")] == [
        "private",
        "public",
        "this machine",
        "private",
    ]


async def test_a_kept_report_grows_old() -> None:
    now, climbs = [100.0], []

    async def climb() -> Report:
        climbs.append(now[0])
        return Report((Rung("settings", "ok", "complete"),))

    readiness = Readiness(climb, 5, clock=lambda: now[0])
    for now[0] in (100.0, 104.9, 105.0, 106.0):
        assert (await readiness.report()).broken is None
    assert climbs == [100.0, 105.0]


async def test_a_caller_who_leaves_does_not_end_the_climb_of_the_others() -> None:
    go, climbs = asyncio.Event(), []

    async def climb() -> Report:
        climbs.append(1)
        await go.wait()
        return Report((Rung("settings", "ok", "complete"),))

    readiness = Readiness(climb, 5)
    first, second = asyncio.create_task(readiness.report()), asyncio.create_task(readiness.report())
    await asyncio.sleep(0)
    first.cancel()
    go.set()
    assert (await second).told()["status"] == "ready"
    assert climbs == [1]
    await readiness.close()


async def test_a_climb_under_way_ends_with_the_worker() -> None:
    ended = []

    async def climb() -> Report:
        try:
            await asyncio.Event().wait()
            return Report((Rung("settings", "ok", "complete"),))
        finally:
            ended.append(True)

    readiness = Readiness(climb, 5)
    waiting = asyncio.create_task(readiness.report())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await readiness.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended == [True]
