"""Who may use the emulated Azure OpenAI: tokens, roles and keys."""

from __future__ import annotations

import time

import aiohttp
import jwt
import pytest
from openai import AsyncOpenAI, AuthenticationError, NotFoundError, PermissionDeniedError

from dev.emulator import Emulators
from dev.emulator.identity import USER_ASSIGNED_CLIENT_ID
from dev.emulator.tokens import signing_key


def use(client: AsyncOpenAI, token: str) -> AsyncOpenAI:
    """The client, with this token."""
    return client.with_options(api_key=token)


async def refusal(client: AsyncOpenAI, token: str) -> tuple[object, str]:
    """The body of the 401 that a token meets, and the emulator's own word on why."""
    with pytest.raises(AuthenticationError) as caught:
        await use(client, token).responses.create(model="gpt-4.1-mini", input="Hello")
    return caught.value.body, caught.value.response.headers.get("x-emulator-reason", "")


async def test_an_expired_token_is_a_401_in_azures_words(emulators: Emulators, client: AsyncOpenAI) -> None:
    body, reason = await refusal(client, emulators.identity.mint(life=-1))
    assert isinstance(body, dict)
    assert body["statusCode"] == 401
    assert "audience is incorrect (https://cognitiveservices.azure.com), or have expired" in body["message"]
    assert "expired" in reason


async def test_expiry_goes_by_the_services_clock(emulators: Emulators, client: AsyncOpenAI) -> None:
    token = emulators.identity.mint(life=3600)
    await use(client, token).responses.create(model="gpt-4.1-mini", input="Hello")
    emulators.openai.clock = lambda: time.time() + 3601
    assert "expired" in (await refusal(client, token))[1]


async def test_a_token_for_another_audience_is_refused(emulators: Emulators, client: AsyncOpenAI) -> None:
    assert "audience" in (await refusal(client, emulators.identity.mint("https://vault.azure.net")))[1]


async def test_a_forged_signature_is_refused(emulators: Emulators, client: AsyncOpenAI) -> None:
    assert "tenant" in (await refusal(client, emulators.identity.mint(forged=True)))[1]


async def test_a_token_of_the_future_is_refused(emulators: Emulators, client: AsyncOpenAI) -> None:
    emulators.identity.clock = lambda: time.time() + 3600
    assert "not valid yet" in (await refusal(client, emulators.identity.mint()))[1]


async def test_a_token_that_is_not_signed_by_rs256_is_refused(emulators: Emulators, client: AsyncOpenAI) -> None:
    claims = jwt.decode(emulators.identity.mint(), options={"verify_signature": False})
    assert "tenant" in (await refusal(client, jwt.encode(claims, "s" * 32, algorithm="HS256")))[1]


async def test_a_token_that_lacks_a_claim_is_refused(client: AsyncOpenAI) -> None:
    token = jwt.encode({"aud": "https://cognitiveservices.azure.com"}, signing_key(), algorithm="RS256")
    assert "tenant" in (await refusal(client, token))[1]


async def test_no_token_at_all_is_a_401(emulators: Emulators) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{emulators.openai.url}/openai/v1/responses", json={}) as answer,
    ):
        assert answer.status == 401
        assert (await answer.json())["error"]["code"] == "401"


async def test_an_api_key_is_refused_even_beside_a_good_token_and_is_recorded(
    emulators: Emulators, client: AsyncOpenAI
) -> None:
    with pytest.raises(PermissionDeniedError) as caught:
        await client.responses.create(model="gpt-4.1-mini", input="Hello", extra_headers={"api-key": "planted"})
    assert caught.value.code == "AuthenticationTypeDisabled"
    assert emulators.openai.requests[0].headers["api-key"] == "planted"


async def test_without_the_role_the_answer_is_a_401_permission_denied(
    emulators: Emulators, client: AsyncOpenAI
) -> None:
    emulators.openai.role_granted = False
    with pytest.raises(AuthenticationError) as caught:
        await client.responses.create(model="gpt-4.1-mini", input="Hello")
    assert caught.value.code == "PermissionDenied"
    emulators.openai.role_granted = True
    await client.responses.create(model="gpt-4.1-mini", input="Hello")


async def test_the_role_can_be_granted_to_one_identity_alone(emulators: Emulators, client: AsyncOpenAI) -> None:
    emulators.openai.role_granted = {USER_ASSIGNED_CLIENT_ID}
    with pytest.raises(AuthenticationError):
        await client.responses.create(model="gpt-4.1-mini", input="Hello")
    granted = use(client, emulators.identity.mint(client_id=USER_ASSIGNED_CLIENT_ID))
    await granted.responses.create(model="gpt-4.1-mini", input="Hello")


async def test_an_unknown_deployment_is_a_404_until_it_is_there(emulators: Emulators, client: AsyncOpenAI) -> None:
    with pytest.raises(NotFoundError) as caught:
        await client.responses.create(model="mine", input="Hello")
    assert caught.value.code == "DeploymentNotFound"
    emulators.openai.deployments.add("mine")
    assert (await client.responses.create(model="mine", input="Hello")).model == "mine"


async def test_a_dated_api_version_is_refused_and_v1_is_not(emulators: Emulators, http: aiohttp.ClientSession) -> None:
    async with http.get("models", params={"api-version": "2024-10-21"}) as answer:
        assert answer.status == 400
    async with http.get("models", params={"api-version": "v1"}) as answer:
        assert answer.status == 200


async def test_the_deployments_are_listed_as_models(emulators: Emulators, client: AsyncOpenAI) -> None:
    listed = [model.id async for model in client.models.list()]
    assert listed == sorted(emulators.openai.deployments)
    assert (await client.models.retrieve(listed[0])).id == listed[0]
    with pytest.raises(NotFoundError):
        await client.models.retrieve("nothing")


async def test_other_addresses_are_a_404_in_azures_shape(http: aiohttp.ClientSession, emulators: Emulators) -> None:
    for url in ("/openai/v1/embeddings", "/openai/deployments/gpt-4.1-mini/chat/completions"):
        async with http.post(emulators.openai.url + url, json={}) as answer:
            assert answer.status == 404
            assert await answer.json() == {"error": {"code": "404", "message": "Resource not found"}}


async def test_every_answer_names_its_request_region_and_quota(http: aiohttp.ClientSession) -> None:
    async with http.post("responses", json={"model": "gpt-4.1-mini", "input": "Hello"}) as answer:
        headers = answer.headers
    assert headers["apim-request-id"] == headers["x-request-id"]
    assert headers["x-ms-region"]
    assert headers["x-ms-deployment-name"] == "gpt-4.1-mini"
    assert int(headers["x-ratelimit-remaining-requests"]) < int(headers["x-ratelimit-limit-requests"])
    assert int(headers["x-ratelimit-remaining-tokens"]) < int(headers["x-ratelimit-limit-tokens"])
