"""The emulated vault, as the unmodified SDK meets it and as the platform answers."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity.aio import ManagedIdentityCredential
from azure.keyvault.secrets.aio import SecretClient

from dev.emulator import Emulators
from dev.emulator.keyvault import AUDIENCE
from dev.emulator.tokens import SYSTEM_ASSIGNED


@pytest.fixture
async def vault(emulators: Emulators, credential: ManagedIdentityCredential) -> AsyncIterator[SecretClient]:
    emulators.vault.secrets["key"] = "value"
    async with SecretClient(
        emulators.vault.url,
        credential,
        connection_verify=emulators.ca_file,
        verify_challenge_resource=False,
        retry_total=0,
    ) as made:
        yield made


async def ask(emulators: Emulators, path: str = "/secrets/key/", token: str | None = None, **query: str) -> Any:
    """Ask the vault as the protocol says; returns the answer and its body."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    trusted = ssl.create_default_context(cafile=emulators.ca_file)
    async with (
        aiohttp.ClientSession() as http,
        http.get(emulators.vault.url + path, params=query, headers=headers, ssl=trusted) as answer,
    ):
        return answer, await answer.json(content_type=None)


async def test_the_unmodified_client_reads_a_secret_with_the_identitys_token(
    emulators: Emulators, vault: SecretClient
) -> None:
    secret = await vault.get_secret("key")
    assert (secret.name, secret.value) == ("key", "value")
    assert secret.properties.enabled
    assert [one.query["resource"] for one in emulators.identity.requests] == [AUDIENCE]


async def test_the_unmodified_client_reads_the_version_that_it_was_given(
    emulators: Emulators, vault: SecretClient
) -> None:
    version = (await vault.get_secret("key")).properties.version
    assert (await vault.get_secret("key", version)).value == "value"
    emulators.vault.secrets["key"] = "newer"
    assert (await vault.get_secret("key")).properties.version != version


async def test_the_unmodified_client_is_told_of_a_secret_that_is_not_there(vault: SecretClient) -> None:
    with pytest.raises(ResourceNotFoundError, match="SecretNotFound"):
        await vault.get_secret("other")


async def test_a_disabled_secret_is_not_given(emulators: Emulators, vault: SecretClient) -> None:
    emulators.vault.disabled.add("key")
    with pytest.raises(HttpResponseError, match="disabled") as caught:
        await vault.get_secret("key")
    assert caught.value.status_code == 403


@pytest.mark.parametrize("granted", [False, {"another client"}])
async def test_without_the_role_nothing_is_given(
    emulators: Emulators, vault: SecretClient, granted: bool | set[str]
) -> None:
    emulators.vault.role_granted = granted
    with pytest.raises(HttpResponseError, match="not authorized") as caught:
        await vault.get_secret("key")
    assert caught.value.status_code == 403
    emulators.vault.role_granted = {SYSTEM_ASSIGNED.client_id}
    assert (await vault.get_secret("key")).value == "value"


async def test_a_token_for_another_resource_is_refused(emulators: Emulators, vault: SecretClient) -> None:
    emulators.identity.script_forever({"audience": "https://cognitiveservices.azure.com"})
    with pytest.raises(ClientAuthenticationError):
        await vault.get_secret("key")


async def test_who_brings_no_token_is_told_where_to_get_one(emulators: Emulators) -> None:
    answer, body = await ask(emulators)
    assert answer.status == 401
    assert f'resource="{AUDIENCE}"' in answer.headers["WWW-Authenticate"]
    assert body["error"]["code"] == "Unauthorized"


@pytest.mark.parametrize("fault", ["forged", "expired"])
async def test_a_token_that_is_no_good_is_refused(emulators: Emulators, fault: str) -> None:
    token = emulators.identity.mint(AUDIENCE, forged=fault == "forged", life=-10 if fault == "expired" else None)
    answer, _ = await ask(emulators, token=token, **{"api-version": "7.6"})
    assert answer.status == 401


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/secrets/key", {"api-version": "7.6"}, 200),
        ("/secrets/key", {}, 400),
        ("/secrets/key/0123", {"api-version": "7.6"}, 404),
        ("/keys/key", {"api-version": "7.6"}, 404),
        ("/", {"api-version": "7.6"}, 404),
    ],
)
async def test_paths_are_those_of_secrets(emulators: Emulators, path: str, query: dict[str, str], status: int) -> None:
    emulators.vault.secrets["key"] = "value"
    answer, _ = await ask(emulators, path, emulators.identity.mint(AUDIENCE), **query)
    assert answer.status == status


async def test_faults_are_scripted_as_on_every_emulator(emulators: Emulators, vault: SecretClient) -> None:
    emulators.vault.script({}, {"status": 503, "headers": {"retry-after": "7"}})
    with pytest.raises(HttpResponseError) as caught:
        await vault.get_secret("key")
    assert caught.value.status_code == 503
    emulators.vault.script({"body": "{}", "status": 418})
    answer, _ = await ask(emulators)
    assert answer.status == 418


async def test_only_a_client_that_trusts_the_authority_connects(emulators: Emulators) -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await http.get(emulators.vault.url)
    assert emulators.vault.requests == []


def test_the_authoritys_file_is_gone_when_the_emulators_are() -> None:
    with Emulators.start() as emulators:
        file = Path(emulators.ca_file)
        assert file.read_text().startswith("-----BEGIN CERTIFICATE-----")
        assert "PRIVATE KEY" not in file.read_text()
        assert [one.name for one in file.parent.iterdir()] == [file.name], "no key is left on the disk"
    assert not file.exists()
    with pytest.raises(RuntimeError):
        _ = emulators.ca_file
