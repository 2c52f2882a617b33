"""What is a tool's secret now?  Read from Azure Key Vault by the app's identity, and kept for a while.

A value is fresh for its life. Near the end of that it is fetched anew in the background, so that nobody waits. While
the vault cannot be reached, the last good value serves on; when the vault says that there is no such secret, or that
this app may not read it, the value is dropped. Many callers at once make one request. No value is ever logged, shown
by `repr`, or part of an error.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from azure.keyvault.secrets.aio import SecretClient

    from shared.azure.identity import Credential

Reason = Literal["not_configured", "bad_name", "not_found", "denied", "unreachable"]

FRESH_PART = 0.8
"""The part of a value's life after which it is fetched anew in the background."""

GOODBYE = 0.1
"""Seconds in which closed TLS connections end: aiohttp does that beside us, and a loop that stops at once leaks them.

Source: https://docs.aiohttp.org/en/stable/client_advanced.html#graceful-shutdown
"""

LONGEST_PAUSE = 60.0
"""The longest pause between requests that fail, in seconds. The first is one second, and each doubles."""

_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")
_REASONS: Mapping[object, Reason] = {401: "denied", 403: "denied", 404: "not_found"}
log = logging.getLogger("app.keyvault")


class SecretUnavailable(Exception):
    """A secret cannot be read. It holds the secret's name and a reason, and nothing that the vault said."""

    def __init__(self, name: str, reason: Reason) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"The secret {name} is not available: {reason.replace('_', ' ')}.")


class NoVault:
    """The secrets of an app without a vault: there are none."""

    async def get(self, name: str) -> str:
        """Raises SecretUnavailable."""
        raise SecretUnavailable(name, "not_configured")

    async def close(self) -> None:
        """Nothing to close."""


@dataclass(slots=True)
class _Entry:
    """What is known of one secret. Times are the clock's, in seconds."""

    value: str | None = field(default=None, repr=False)
    fetched: float = 0.0
    failure: Reason | None = None
    pause: float = 0.0
    ask_again: float = float("-inf")
    flight: asyncio.Task[None] | None = field(default=None, repr=False)


class Secrets:
    """The secrets of one vault, for a worker. Nothing is loaded or connected before one is asked for."""

    def __init__(
        self,
        vault_url: str,
        make_credential: Callable[[], Credential],
        *,
        life: float = 900.0,
        timeout: float = 5.0,
        development: bool = False,
        ca_file: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes the vault's address, `https://NAME.vault.azure.net`, and what makes the credential to ask it with.

        `life` is how long a value is fresh, and `timeout` how long a request may take, its token included, both in
        seconds. On a development host the vault may be at a loopback address; `ca_file` then names the certificate
        authority to trust there.

        Raises:
            ValueError: the address is not one of a vault.
        """
        if problem := vault_problem(vault_url, development=development):
            raise ValueError(f"The vault's address {problem}")
        self._url = vault_url
        self._make_credential = make_credential
        self._life = life
        self._timeout = timeout
        self._local = _is_loopback(urlsplit(vault_url).hostname)
        self._ca_file = ca_file if self._local else None
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._credential: Credential | None = None
        self._client: SecretClient | None = None
        self._opening = asyncio.Lock()
        self._closed = False

    async def get(self, name: str) -> str:
        """A secret's value.

        Raises:
            SecretUnavailable: there is no value to serve.
        """
        if not _NAME.fullmatch(name):
            raise SecretUnavailable(name[:127], "bad_name")
        entry = self._entries.setdefault(name, _Entry())
        age = self._clock() - entry.fetched
        if entry.value is None or age >= self._life:
            await self._refreshed(name, entry)
        elif age >= self._life * FRESH_PART:
            self._refresh(name, entry)
        if entry.value is None:
            raise SecretUnavailable(name, entry.failure or "unreachable")
        return entry.value

    async def close(self) -> None:
        """Ends requests under way and closes the connections."""
        self._closed = True
        flights = [entry.flight for entry in self._entries.values() if entry.flight]
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        for connected in (self._client, self._credential):
            if connected is not None:
                await connected.close()
        if self._client is not None:
            await asyncio.sleep(GOODBYE)
        self._client = self._credential = None

    async def _refreshed(self, name: str, entry: _Entry) -> None:
        flight = self._refresh(name, entry)
        if flight is not None:
            await asyncio.wait([flight])  # a caller who leaves does not take the others' request along

    def _refresh(self, name: str, entry: _Entry) -> asyncio.Task[None] | None:
        """The request for a secret that is under way; a new one if it is time for one; else None."""
        if entry.flight is None and self._clock() >= entry.ask_again and not self._closed:
            entry.flight = asyncio.create_task(self._fly(name, entry))
        return entry.flight

    async def _fly(self, name: str, entry: _Entry) -> None:
        try:
            answer = await self._ask(name)
        finally:
            entry.flight = None
        now = self._clock()
        if isinstance(answer, _Value):
            entry.value, entry.fetched, entry.failure, entry.pause = answer.text, now, None, 0.0
            return
        if answer != "unreachable":
            entry.value = None
        if entry.failure != answer:
            log.warning("secret %s cannot be read: %s", name, answer)
        entry.failure = answer
        entry.pause = min(LONGEST_PAUSE, entry.pause * 2 or 1.0)
        entry.ask_again = now + entry.pause

    async def _ask(self, name: str) -> _Value | Reason:
        """One request. What went wrong is told in a word: the SDK's exceptions hold more than may be told."""
        try:
            async with asyncio.timeout(self._timeout):
                secret = await (await self._open()).get_secret(name)
        except Exception as error:  # noqa: BLE001 - the credential's errors are of any kind
            return self._reason(error)
        if secret.value is None:
            return "unreachable"  # an answer without a value is none of a vault's
        return _Value(secret.value) if secret.value else "not_found"

    def _reason(self, error: Exception) -> Reason:
        """What the vault said. What anybody else said, as the identity's endpoint, is nothing about the secret."""
        response = getattr(error, "response", None)
        if response is None or _place(response.request.url) != _place(self._url):
            return "unreachable"
        return _REASONS.get(response.status_code, "unreachable")

    async def _open(self) -> SecretClient:
        async with self._opening:
            if self._client is None:
                aio, self._credential = await asyncio.to_thread(self._load)
                self._client = aio.SecretClient(
                    self._url,
                    self._credential,
                    retry_total=0,
                    permit_redirects=False,
                    logging_enable=False,
                    use_env_settings=False,
                    connection_timeout=self._timeout,
                    read_timeout=self._timeout,
                    connection_verify=self._ca_file or True,
                    # The vault says for which resource it wants a token. That must be its own domain; only a
                    # loopback address has none.
                    verify_challenge_resource=not self._local,
                )
            return self._client

    def _load(self) -> tuple[Any, Credential]:
        """The SDK and the credential: slow to import, so this runs in a thread."""
        aio = import_module("azure.keyvault.secrets.aio")
        return aio, self._credential or self._make_credential()


@dataclass(frozen=True, slots=True)
class _Value:
    text: str = field(repr=False)


def vault_problem(url: str, *, development: bool) -> str | None:
    """What is wrong with a vault's address, or None."""
    example = "Set it to https://NAME.vault.azure.net."
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return f"is no URL. {example}"
    if parts.scheme != "https" or not host:
        return f"is no https URL. {example}"
    if parts.username or parts.password or parts.path.strip("/") or parts.query or parts.fragment:
        return f"must have no user, path, query or fragment. {example}"
    if _is_loopback(host) and not development:
        return f"is a loopback address, which only a development host may name. {example}"
    return None


def _place(url: str) -> tuple[str | None, int]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or 443


def _is_loopback(host: str | None) -> bool:
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"
