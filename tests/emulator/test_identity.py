"""The identity endpoint, as the unmodified azure-identity meets it and as the platform answers."""

from __future__ import annotations

import time
from typing import Any

import aiohttp
import jwt
import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ServiceResponseTimeoutError
from azure.identity import CredentialUnavailableError
from azure.identity.aio import ManagedIdentityCredential, get_bearer_token_provider
from openai import AsyncOpenAI

from dev.emulator import Emulators
from dev.emulator.identity import USER_ASSIGNED_CLIENT_ID
from dev.emulator.script import BadStep
from dev.emulator.tokens import SYSTEM_ASSIGNED, signing_key, user_assigned

AUDIENCE = "https://cognitiveservices.azure.com"
SCOPE = f"{AUDIENCE}/.default"


def claims(token: str) -> dict[str, Any]:
    """The claims of a token whose signature and expiry hold."""
    read: dict[str, Any] = jwt.decode(token, signing_key().public_key(), algorithms=["RS256"], audience=AUDIENCE)
    return read


async def ask(emulators: Emulators, **query: str) -> tuple[int, Any]:
    """Ask the endpoint as the protocol says, with this query besides."""
    wanted = {"api-version": "2019-08-01", "resource": AUDIENCE, **query}
    headers = {"X-IDENTITY-HEADER": emulators.identity.header}
    async with (
        aiohttp.ClientSession() as http,
        http.get(emulators.identity.endpoint, params=wanted, headers=headers) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def test_the_unmodified_credential_gets_a_signed_token_of_the_system_assigned_identity(
    emulators: Emulators, credential: ManagedIdentityCredential
) -> None:
    token = await credential.get_token(SCOPE)
    read = claims(token.token)
    assert read["appid"] == SYSTEM_ASSIGNED.client_id
    assert read["oid"] == SYSTEM_ASSIGNED.object_id
    assert read["iss"].endswith(f"/{read['tid']}/")
    assert read["iat"] == read["nbf"] <= time.time()
    assert read["exp"] == token.expires_on == read["iat"] + 86_400
    (request,) = emulators.identity.requests
    assert request.method == "GET"
    assert request.query == {"api-version": "2019-08-01", "resource": AUDIENCE}
    assert request.headers["x-identity-header"] == emulators.identity.header


async def test_the_unmodified_client_answers_with_the_credential_and_sends_no_key(
    emulators: Emulators, credential: ManagedIdentityCredential
) -> None:
    provider = get_bearer_token_provider(credential, SCOPE)
    async with AsyncOpenAI(base_url=f"{emulators.openai.url}/openai/v1/", api_key=provider) as client:
        response = await client.responses.create(model="gpt-4.1-mini", input="Hello")
    assert "“Hello”" in response.output_text
    (request,) = emulators.openai.requests
    assert "api-key" not in request.headers
    assert claims(request.headers["authorization"].removeprefix("Bearer "))["appid"] == SYSTEM_ASSIGNED.client_id


async def test_a_user_assigned_identity_is_asked_for_by_its_client_id(
    emulators: Emulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = emulators.environ(client_id=USER_ASSIGNED_CLIENT_ID)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    async with ManagedIdentityCredential(client_id=environ["AZURE_CLIENT_ID"]) as credential:
        token = await credential.get_token(SCOPE)
    assert claims(token.token)["appid"] == USER_ASSIGNED_CLIENT_ID


@pytest.mark.parametrize(("parameter", "member"), [("mi_res_id", "resource_id"), ("principal_id", "object_id")])
async def test_a_user_assigned_identity_is_found_by_its_other_ids(
    emulators: Emulators, parameter: str, member: str
) -> None:
    identity = user_assigned(USER_ASSIGNED_CLIENT_ID)
    status, answer = await ask(emulators, **{parameter: getattr(identity, member)})
    assert (status, answer["client_id"]) == (200, USER_ASSIGNED_CLIENT_ID)


async def test_an_unknown_client_id_is_a_400_as_on_the_platform(emulators: Emulators) -> None:
    status, answer = await ask(emulators, client_id="11111111-2222-3333-4444-555555555555")
    assert status == answer["statusCode"] == 400
    assert "No User Assigned or Delegated Managed Identity found" in answer["message"]


async def test_without_a_client_id_an_app_with_user_assigned_identities_only_gets_a_400(emulators: Emulators) -> None:
    emulators.identity.system_assigned = False
    status, _ = await ask(emulators)
    assert status == 400


@pytest.mark.parametrize(
    ("query", "word"), [({"api-version": "2017-09-01"}, "api-version"), ({"resource": ""}, "resource")]
)
async def test_a_query_that_is_not_the_protocols_is_a_400(
    emulators: Emulators, query: dict[str, str], word: str
) -> None:
    status, answer = await ask(emulators, **query)
    assert status == 400
    assert word in answer["message"]


async def test_a_request_without_the_identity_header_gets_no_token(emulators: Emulators) -> None:
    query = {"api-version": "2019-08-01", "resource": AUDIENCE}
    async with (
        aiohttp.ClientSession() as http,
        http.get(emulators.identity.endpoint, params=query) as answer,
    ):
        assert answer.status == 401
        assert "access_token" not in await answer.json()


async def test_there_is_nothing_at_other_addresses(emulators: Emulators) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{emulators.identity.url}/metadata") as answer:
        assert answer.status == 404


async def test_a_scripted_life_is_the_tokens(emulators: Emulators, credential: ManagedIdentityCredential) -> None:
    emulators.identity.script({"life": 90})
    token = await credential.get_token(SCOPE)
    assert token.expires_on - claims(token.token)["iat"] == 90


async def test_the_clock_dates_the_tokens(emulators: Emulators) -> None:
    emulators.identity.clock = lambda: 2_000_000_000.5
    _, answer = await ask(emulators)
    assert answer["expires_on"] == str(2_000_000_000 + 86_400)


async def test_a_scripted_status_is_answered_in_the_platforms_shape(emulators: Emulators) -> None:
    emulators.identity.script({"status": 429, "headers": {"retry-after": "3"}}, {"status": 500, "error": {"a": 1}})
    assert (await ask(emulators))[1]["statusCode"] == 429
    assert await ask(emulators) == (500, {"a": 1})
    assert (await ask(emulators))[0] == 200


async def test_an_outage_lasts_until_it_is_cleared(emulators: Emulators, credential: ManagedIdentityCredential) -> None:
    emulators.identity.script_forever({"status": 503})
    for _ in range(2):
        with pytest.raises(HttpResponseError):
            await credential.get_token(SCOPE)
    emulators.identity.clear()
    assert (await credential.get_token(SCOPE)).token


@pytest.mark.parametrize("broken", ["no-expires-on", "no-token", "not-json", "empty"])
async def test_a_broken_answer_is_no_token_to_the_credential(
    emulators: Emulators, credential: ManagedIdentityCredential, broken: str
) -> None:
    emulators.identity.script({"broken": broken})
    with pytest.raises((ClientAuthenticationError, CredentialUnavailableError)):
        await credential.get_token(SCOPE)


async def test_a_scripted_body_is_sent_as_it_is(emulators: Emulators) -> None:
    emulators.identity.script({"status": 502, "body": '"bad gateway"'})
    assert await ask(emulators) == (502, "bad gateway")


@pytest.mark.parametrize("reset", [True, "before", "mid"])
async def test_a_reset_breaks_the_connection(emulators: Emulators, reset: bool | str) -> None:
    emulators.identity.script_forever({"reset": reset})
    with pytest.raises(aiohttp.ClientOSError):
        await ask(emulators)
    assert emulators.identity.wait_idle()
    assert emulators.identity.cancellations == 0


async def test_a_hanging_endpoint_answers_nothing_and_sees_the_caller_leave(
    emulators: Emulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in emulators.environ().items():
        monkeypatch.setenv(name, value)
    emulators.identity.script({"hang": True})
    async with ManagedIdentityCredential(retry_total=0, read_timeout=0.1) as credential:
        with pytest.raises(ServiceResponseTimeoutError):
            await credential.get_token(SCOPE)
    assert emulators.identity.wait_cancelled()


async def test_a_scripted_token_audience_or_forgery_is_given_out(emulators: Emulators) -> None:
    emulators.identity.script({"token": "canary"}, {"audience": "https://vault.azure.net"}, {"forged": True})
    assert (await ask(emulators))[1]["access_token"] == "canary"
    other = (await ask(emulators))[1]["access_token"]
    assert jwt.decode(other, options={"verify_signature": False})["aud"] == "https://vault.azure.net"
    with pytest.raises(jwt.InvalidSignatureError):
        claims((await ask(emulators))[1]["access_token"])


@pytest.mark.parametrize(
    ("step", "word"),
    [
        ({"lief": 3}, "lief"),
        ({"broken": "badly"}, "badly"),
        ({"life": "long"}, "life"),
        ({"after": -1}, "after"),
        ({"reset": "later"}, "later"),
    ],
)
def test_a_step_that_is_not_understood_is_refused_when_it_is_queued(
    emulators: Emulators, step: dict[str, Any], word: str
) -> None:
    with pytest.raises(BadStep, match=word):
        emulators.identity.script({"life": 5}, step)
    assert emulators.identity.scripted == 0
