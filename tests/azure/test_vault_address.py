"""Which vault the secrets come from, if there is one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from shared.azure.keyvault import NoVault, Secrets, SecretUnavailable, vault_problem


async def test_without_a_vault_there_are_no_secrets() -> None:
    with pytest.raises(SecretUnavailable, match="not configured"):
        await NoVault().get("weather-key")
    await NoVault().close()


@pytest.mark.parametrize(
    "url", ["https://team.vault.azure.net", "https://team.vault.azure.net/", "https://kv.local.example"]
)
def test_a_vaults_address_is_an_https_origin(url: str) -> None:
    assert vault_problem(url, development=False) is None


@pytest.mark.parametrize(
    "url",
    [
        *("", "team", "http://team.vault.azure.net", "https://", "https://[", "https://team.vault.azure.net:x"),
        *("https://u:p@team.vault.azure.net", "https://team.vault.azure.net/secrets", "https://team.vault.azure.net?x"),
        *("https://127.0.0.1:8443", "https://[::1]", "https://localhost"),
    ],
)
def test_any_other_address_is_refused(url: str) -> None:
    assert vault_problem(url, development=False)
    with pytest.raises(ValueError, match="vault's address"):
        Secrets(url, lambda: None)  # type: ignore[arg-type, return-value]


def test_a_loopback_vault_is_for_development_only() -> None:
    assert vault_problem("https://127.0.0.1:8443", development=True) is None
    assert vault_problem("http://127.0.0.1:8443", development=True)


def test_the_sdk_is_not_loaded_before_a_secret_is_asked_for() -> None:
    program = (
        "import sys, shared.azure.keyvault as k; k.Secrets('https://a.vault.azure.net', None);"
        "print([name for name in sys.modules if name.startswith(('azure', 'aiohttp'))])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout.strip() == b"[]"
