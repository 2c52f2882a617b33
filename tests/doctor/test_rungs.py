"""Each rung of the ladder: what is told when it holds, and when it is broken."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from dev.emulator import Emulators
from dev.emulator.tokens import SYSTEM_ASSIGNED, TENANT, user_assigned
from tests.conftest import PLANTED_KEY
from tests.doctor.conftest import Certified, Doctor, served

CLIENT_ID = "11111111-2222-4333-8444-555555555555"


def test_every_rung_says_what_it_found(doctor: Doctor, azure: Emulators) -> None:
    visit = doctor()
    assert visit.code == 0
    assert visit.document["status"] == "ready"
    found = {one["name"]: one["found"] for one in visit.document["rungs"]}
    assert found == {
        "settings": f"complete: gpt-4.1-mini at 127.0.0.1:{azure.openai.port}",
        "identity": f"system-assigned managed identity: client id {SYSTEM_ASSIGNED.client_id},"
        f" object id {SYSTEM_ASSIGNED.object_id}",
        "token": f"for https://cognitiveservices.azure.com, 23 h 59 min left, tenant {TENANT}",
        "dns": "127.0.0.1 (this machine)",
        "reach": f"port {azure.openai.port}, plain http, which is for this machine alone",
        "role": "Azure OpenAI takes the identity",
        "deployment": "it answers as gpt-4.1-mini; its limits: 1,000 requests, 1,000,000 tokens",
    }


def test_a_deployment_is_asked_for_the_least_and_nothing_is_stored(doctor: Doctor, azure: Emulators) -> None:
    doctor()
    models, response = azure.openai.requests
    assert (models.method, models.path) == ("GET", "/openai/v1/models")
    assert response.json() == {
        "model": "gpt-4.1-mini",
        "input": "Say OK.",
        "max_output_tokens": 16,
        "store": False,
    }


def test_a_user_assigned_identity_is_named_by_its_ids(doctor: Doctor, azure: Emulators) -> None:
    azure.identity.client_ids.add(CLIENT_ID)
    found = doctor(AZURE_CLIENT_ID=CLIENT_ID).rung("identity")["found"]
    identity = user_assigned(CLIENT_ID)
    assert found == f"user-assigned managed identity: client id {CLIENT_ID}, object id {identity.object_id}"
    azure.identity.client_ids.discard(CLIENT_ID)


def test_a_setting_that_is_wrong_ends_it_with_2_and_nothing_else_is_tried(doctor: Doctor, azure: Emulators) -> None:
    visit = doctor(MAX_MESSAGES="none")
    assert visit.code == 2
    assert visit.broken["found"].startswith("MAX_MESSAGES: ")
    assert "local.settings.json" in visit.broken["meaning"]
    assert visit.states == {"settings": "failed", "identity": "skipped", "token": "skipped"}
    assert azure.identity.requests == azure.openai.requests == []


def test_a_key_on_a_laptop_is_a_remark_and_is_not_used(doctor: Doctor) -> None:
    visit = doctor(AZURE_OPENAI_API_KEY=PLANTED_KEY)
    assert visit.code == 0
    assert "AZURE_OPENAI_API_KEY: ignored" in visit.rung("settings")["found"]
    assert PLANTED_KEY not in json.dumps(visit.document)


def test_an_identity_endpoint_that_is_not_there(doctor: Doctor, closed_port: int) -> None:
    visit = doctor(IDENTITY_ENDPOINT=f"http://127.0.0.1:{closed_port}/msi/token")
    assert visit.code == 1
    assert visit.broken["name"] == "identity"
    assert visit.broken["found"] == "the token endpoint is not reached"
    assert visit.commands == ["make emulators"]
    assert visit.states["role"] == visit.states["deployment"] == "skipped"
    assert visit.rung("role")["found"] == "not tried, as identity is broken"


@pytest.mark.parametrize(
    ("step", "found"),
    [
        ({"status": 500}, "the token endpoint fails (5xx)"),
        ({"status": 400}, "the token endpoint refuses a token"),
        ({"hang": True}, "no token within 0.3 seconds"),
        ({"broken": "no-expires-on"}, "what came is no token that can be used"),
        ({"broken": "not-json"}, "what came is no token that can be used"),
        ({"life": -10}, "what came is no token that can be used"),
    ],
)
def test_an_identity_endpoint_that_gives_no_token(
    doctor: Doctor, azure: Emulators, step: dict[str, Any], found: str
) -> None:
    azure.identity.script_forever(step)
    timeout = "0.3" if "hang" in step else "8"
    visit = doctor(TOKEN_TIMEOUT_SECONDS=timeout)
    assert (visit.code, visit.broken["name"], visit.broken["found"]) == (1, "identity", found)


def test_a_client_id_that_no_identity_has(doctor: Doctor) -> None:
    visit = doctor(AZURE_CLIENT_ID=CLIENT_ID)
    assert visit.code == 1
    assert (visit.broken["name"], visit.broken["found"]) == ("identity", "the token endpoint refuses a token")


def test_a_token_for_another_audience(doctor: Doctor, azure: Emulators) -> None:
    azure.identity.script_forever({"audience": "https://management.azure.com"})
    visit = doctor()
    assert visit.broken["name"] == "token"
    expected = "it is for https://management.azure.com, not for https://cognitiveservices.azure.com"
    assert visit.broken["found"] == expected
    assert azure.openai.requests == []


def test_an_opaque_token_is_used_and_shown_to_nobody(doctor: Doctor, azure: Emulators) -> None:
    azure.identity.script_forever({"token": "canary.canary.canary"})
    visit = doctor()
    assert visit.rung("identity")["found"] == "system-assigned managed identity: its token does not say which"
    assert visit.rung("token")["found"] == "for https://cognitiveservices.azure.com, 23 h 59 min left"
    assert visit.broken["name"] == "role"
    assert "canary" not in json.dumps(visit.document)


def test_a_name_without_an_address(doctor: Doctor) -> None:
    visit = doctor(AZURE_OPENAI_ENDPOINT="https://nothing.invalid")
    assert (visit.broken["name"], visit.broken["of"]) == ("dns", "nothing.invalid")
    assert visit.broken["found"] == "this name has no address"
    assert "az cognitiveservices account list" in visit.commands[0]
    assert "privatelink.openai.azure.com" in visit.commands[1]


def test_dns_that_does_not_answer(doctor: Doctor) -> None:
    visit = doctor(AZURE_OPENAI_ENDPOINT="https://nothing.invalid", CONNECT_TIMEOUT_SECONDS="0.000001")
    assert (visit.broken["name"], visit.broken["meaning"]) == ("dns", "DNS does not answer.")


def test_an_address_to_which_no_way_leads(doctor: Doctor) -> None:
    visit = doctor(AZURE_OPENAI_ENDPOINT="https://255.255.255.255")
    assert (visit.broken["name"], visit.broken["found"]) == ("reach", "no way to port 443")


def test_a_port_where_nothing_listens(doctor: Doctor, closed_port: int) -> None:
    visit = doctor(AZURE_OPENAI_ENDPOINT=f"http://127.0.0.1:{closed_port}")
    assert visit.broken["name"] == "reach"
    assert visit.broken["found"] == f"port {closed_port} refuses the connection"
    assert visit.commands == []


def test_a_certificate_that_nobody_here_trusts(doctor: Doctor, tls_server: Callable[..., Certified]) -> None:
    visit = doctor(AZURE_OPENAI_ENDPOINT=tls_server().url)
    assert (visit.broken["name"], visit.broken["found"]) == (
        "reach",
        "its certificate is of nobody that is trusted here",
    )
    assert "SSL_CERT_FILE" in visit.broken["meaning"]


def test_a_certificate_is_trusted_where_the_environment_says_so(
    doctor: Doctor, tls_server: Callable[..., Certified]
) -> None:
    server = tls_server()
    visit = doctor(AZURE_OPENAI_ENDPOINT=server.url, SSL_CERT_FILE=str(server.certificate))
    assert visit.rung("reach")["found"].endswith("TLSv1.3, a certificate that is trusted")
    assert visit.broken["name"] == "role"
    assert visit.broken["found"] == "Azure OpenAI fails, or answers what makes no sense"


@pytest.mark.parametrize(
    ("certificate", "found"),
    [
        ({"address": "127.0.0.2"}, "its certificate is of another name"),
        ({"days": -1}, "its certificate has expired"),
    ],
)
def test_a_certificate_of_the_wrong_name_or_time(
    doctor: Doctor, tls_server: Callable[..., Certified], certificate: dict[str, Any], found: str
) -> None:
    server = tls_server(**certificate)
    visit = doctor(AZURE_OPENAI_ENDPOINT=server.url, SSL_CERT_FILE=str(server.certificate))
    assert (visit.broken["name"], visit.broken["found"]) == ("reach", found)


def test_a_list_of_certificates_that_cannot_be_read(doctor: Doctor) -> None:
    visit = doctor(AZURE_OPENAI_ENDPOINT="https://127.0.0.1", SSL_CERT_FILE="/nowhere/at-all.pem")
    assert (visit.broken["name"], visit.broken["found"]) == ("reach", "no connection can be prepared")
    assert "SSL_CERT_FILE" in visit.broken["meaning"]


def test_a_server_without_tls(doctor: Doctor, answering: Callable[..., str]) -> None:
    visit = doctor(AZURE_OPENAI_ENDPOINT=answering(200).replace("http:", "https:"))
    assert visit.broken["name"] == "reach"
    assert visit.broken["found"].endswith("speaks no TLS")


def test_a_server_that_never_answers(doctor: Doctor) -> None:
    def wait(connection: socket.socket) -> None:
        while connection.recv(65_536):
            pass

    with served(wait) as port:
        visit = doctor(AZURE_OPENAI_ENDPOINT=f"https://127.0.0.1:{port}", CONNECT_TIMEOUT_SECONDS="0.3")
    assert visit.broken["name"] == "reach"
    assert visit.broken["found"] == f"no connection to port {port} within 0.3 seconds"


def test_a_role_that_is_missing_or_not_yet_in_effect(doctor: Doctor, azure: Emulators) -> None:
    azure.openai.role_granted = False
    visit = doctor()
    assert (visit.code, visit.broken["name"]) == (1, "role")
    assert visit.broken["retry_after"] == 60
    assert "is missing, or it was assigned some minutes ago and does not hold yet" in visit.broken["meaning"]
    listing, create, network = visit.commands
    assert listing.startswith(f"az role assignment list --assignee {SYSTEM_ASSIGNED.object_id} --scope ")
    assert create.startswith('az role assignment create --role "Cognitive Services OpenAI User" ')
    assert f"--assignee-object-id {SYSTEM_ASSIGNED.object_id} --assignee-principal-type ServicePrincipal" in create
    assert "publicNetworkAccess" in network
    assert visit.rung("deployment")["state"] == "skipped"


def test_a_token_that_azure_openai_refuses(doctor: Doctor, azure: Emulators) -> None:
    azure.identity.script_forever({"forged": True})
    visit = doctor()
    assert (visit.broken["name"], visit.broken["found"]) == ("role", "Azure OpenAI refuses the token")
    assert f"The token is of tenant {TENANT}." in visit.broken["meaning"]


def test_a_token_that_is_refused_once_is_replaced(doctor: Doctor, azure: Emulators) -> None:
    azure.identity.script({"forged": True})
    assert doctor().code == 0


def test_an_audience_that_azure_openai_does_not_take(doctor: Doctor) -> None:
    visit = doctor(AZURE_OPENAI_TOKEN_SCOPE="https://management.azure.com/.default")
    assert (visit.broken["name"], visit.broken["found"]) == ("role", "Azure OpenAI refuses the token")
    assert "AZURE_OPENAI_TOKEN_SCOPE is https://management.azure.com/.default" in visit.broken["meaning"]
    assert "--setting-names AZURE_OPENAI_TOKEN_SCOPE" in visit.commands[1]


@pytest.mark.parametrize(
    ("status", "found"),
    [
        (404, "there is no /openai/v1/ at this address"),
        (400, "Azure OpenAI refuses the request"),
        (429, "Azure OpenAI answers that there are too many requests"),
        (408, "Azure OpenAI does not answer in time"),
        (500, "Azure OpenAI fails, or answers what makes no sense"),
        (307, "Azure OpenAI fails, or answers what makes no sense"),
    ],
)
def test_a_resource_that_answers_otherwise(
    doctor: Doctor, answering: Callable[..., str], status: int, found: str
) -> None:
    visit = doctor(AZURE_OPENAI_ENDPOINT=answering(status, '{"error":{"message":"upstream text"}}'))
    assert (visit.broken["name"], visit.broken["found"]) == ("role", found)
    assert "upstream text" not in json.dumps(visit.document)


def test_a_version_that_azure_openai_does_not_know(doctor: Doctor, azure: Emulators) -> None:
    visit = doctor(AZURE_OPENAI_API_VERSION="2023-05-15")
    assert visit.broken["name"] == "role"
    assert "AZURE_OPENAI_API_VERSION" in visit.broken["meaning"]
    assert visit.commands == [
        "az functionapp config appsettings delete --name APP --resource-group GROUP"
        " --setting-names AZURE_OPENAI_API_VERSION"
    ]


def test_a_deployment_that_does_not_exist(doctor: Doctor) -> None:
    visit = doctor(AZURE_OPENAI_DEPLOYMENT="absent")
    assert (visit.broken["name"], visit.broken["of"]) == ("deployment", "absent")
    assert visit.broken["found"] == "the resource has no deployment of this name"
    assert visit.commands[0].startswith("az cognitiveservices account deployment list --name NAME ")


def test_a_deployment_whose_quota_is_used_up(doctor: Doctor, azure: Emulators) -> None:
    azure.openai.script({"status": 429, "headers": {"retry-after": "7"}})
    visit = doctor()
    assert visit.broken["found"] == "its quota is used up at the moment"
    assert visit.broken["retry_after"] == 7
    assert "--deployment-name gpt-4.1-mini" in visit.commands[0]


def test_an_identity_that_may_look_but_not_call(doctor: Doctor, azure: Emulators) -> None:
    azure.openai.script({"status": 401, "error": {"code": "PermissionDenied", "message": "No."}})
    visit = doctor()
    assert visit.broken["name"] == "deployment"
    assert visit.broken["found"] == "the identity may look at the resource, and may not call its models"
    assert visit.commands[1].startswith("az role assignment create")


def test_a_model_that_makes_no_text_is_no_fault(doctor: Doctor, azure: Emulators) -> None:
    azure.openai.script({"status": 400})
    visit = doctor()
    assert visit.code == 0
    assert visit.rung("deployment")["state"] == "skipped"
    assert visit.rung("deployment")["found"].startswith("it is there, and takes no Responses call")


def test_a_deployment_that_hangs_or_answers_nonsense(doctor: Doctor, azure: Emulators) -> None:
    azure.openai.script({"hang": True})
    assert doctor(IDLE_TIMEOUT_SECONDS="0.3").broken["found"] == "Azure OpenAI does not answer in time"
    azure.openai.clear()
    azure.openai.script({"body": "<html>"})
    assert doctor().broken["found"] == "Azure OpenAI fails, or answers what makes no sense"


def test_only_what_looks_like_a_models_name_is_told(doctor: Doctor, azure: Emulators) -> None:
    azure.openai.script({"body": '{"model": "<upstream text>"}', "headers": {"x-ratelimit-limit-tokens": "many"}})
    assert doctor().rung("deployment")["found"] == "it answers; its limits: 1,000 requests"


def test_each_resource_has_rungs_of_its_own(doctor: Doctor, azure: Emulators, closed_port: int) -> None:
    models = {
        "near": {"deployment": "gpt-4.1-mini"},
        "same": {"deployment": "gpt-4.1-mini"},
        "other": {"deployment": "gpt-5.4-mini"},
        "far": {"deployment": "gpt-4.1-mini", "endpoint": f"http://localhost:{closed_port}"},
    }
    visit = doctor(MODELS=json.dumps(models))
    assert visit.code == 1
    assert (visit.broken["name"], visit.broken["of"]) == ("reach", f"localhost:{closed_port}")
    here = f"127.0.0.1:{azure.openai.port}"
    near = [(one["name"], one["of"], one["state"]) for one in visit.document["rungs"][3:8]]
    assert near == [
        ("dns", here, "ok"),
        ("reach", here, "ok"),
        ("role", here, "ok"),
        ("deployment", "gpt-4.1-mini", "ok"),
        ("deployment", "gpt-5.4-mini", "ok"),
    ]
    assert [one["state"] for one in visit.document["rungs"][8:]] == ["ok", "failed", "skipped", "skipped"]


def test_a_developer_who_is_not_signed_in(doctor: Doctor) -> None:
    visit = doctor(IDENTITY_ENDPOINT="", IDENTITY_HEADER="", PATH="/nowhere")
    assert visit.broken["name"] == "identity"
    assert visit.commands == ["az login"]


def test_a_cluster_that_has_not_put_its_token_there(doctor: Doctor) -> None:
    visit = doctor(AZURE_FEDERATED_TOKEN_FILE="/nowhere/token", AZURE_CLIENT_ID=CLIENT_ID, AZURE_TENANT_ID=TENANT)
    assert visit.broken["found"] == "there is nobody to get a token for"
    assert "cannot be read" in visit.broken["meaning"]
