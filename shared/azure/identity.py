"""The app's identity: one credential, and the token that it keeps.

Managed identity protocol: https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from shared.azure.claims import claims_of
from shared.errors import IdentityFault, IdentityUnavailable

if TYPE_CHECKING:
    from shared.settings import Settings

log = logging.getLogger("app.identity")

SERVE_UNTIL = 60.0
"""A token is served until this many seconds before it expires."""

RETRY_AFTER_FAILURE = (5.0, 300.0)
"""The first and the longest pause, in seconds, between attempts to renew a token that still serves."""

FORCED_AT_MOST_EVERY = 10.0
"""Seconds between renewals because a service refused the token: a wrong setting must not become a storm."""


NOT_SIGNED_IN = (
    "No developer sign-in gave a token: run `az login` or `azd auth login`, or sign in with VS Code, then try again."
)
"""What helps on a laptop, where there is no managed identity."""


class AccessToken(Protocol):
    """What a credential gives: the token, and the second of its end since the epoch."""

    @property
    def token(self) -> str: ...

    @property
    def expires_on(self) -> int: ...


class Credential(Protocol):
    """The part of azure-identity's async credentials that is used here."""

    async def get_token(self, *scopes: str) -> AccessToken: ...

    async def close(self) -> None: ...


def make_credential(settings: Settings) -> Credential:
    """The one credential that fits where the app runs. Imports azure-identity: call it off the event loop."""
    from azure.identity import aio

    # Warnings of these two can hold a raw token; their failures are logged here, by type.
    for name in ("azure.identity", "azure.core"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    pipeline: dict[str, Any] = {
        "connection_timeout": 2,
        "read_timeout": 4,
        "retry_total": 2,
        "retry_backoff_factor": 0.1,
    }
    credential: Credential
    match settings.credential_kind:
        case "workload":
            credential = aio.WorkloadIdentityCredential(
                client_id=settings.client_id,
                tenant_id=settings.tenant_id,
                token_file_path=settings.federated_token_file,
                **pipeline,
            )
        case "developer":
            credential = aio.ChainedTokenCredential(
                aio.AzureCliCredential(), aio.AzureDeveloperCliCredential(), aio.VisualStudioCodeCredential()
            )
        case "managed":
            # The endpoint is on this machine: a proxy has no part in it.
            credential = aio.ManagedIdentityCredential(
                client_id=settings.client_id or None, use_env_settings=False, **pipeline
            )
    return credential


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    fetched_at: float
    expires_at: float

    def serves(self, now: float) -> bool:
        return now < self.expires_at - SERVE_UNTIL

    def due(self, now: float) -> bool:
        # At half its life, as the platform advises; so an outage of the endpoint has the other half to end.
        return now >= (self.fetched_at + self.expires_at) / 2


@dataclass(frozen=True, slots=True)
class Passport:
    """What a token says of its holder, and never the token. An id that it does not say is empty.

    `seconds_left` is how long it is still valid; `principal` is the kind of holder, in Azure's words for a role.
    """

    client_id: str
    object_id: str
    tenant_id: str
    audience: str
    principal: Literal["User", "ServicePrincipal"]
    seconds_left: float


class TokenKeeper:
    """The last good token of one scope, for every request of this worker.

    It renews the token in the background from half of its life on, in one flight however many ask, and serves the old
    one meanwhile and through an outage of the token endpoint, until a minute before its end. Every renewal asks a new
    credential, as azure-identity's own cache would hide the token that is refused or due.
    """

    def __init__(
        self,
        make_credential: Callable[[], Credential],
        scope: str,
        *,
        timeout: float,
        hint: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._make_credential = make_credential
        self._scope = scope
        self._timeout = timeout
        self._hint = hint
        self._clock = clock
        self._token: _Token | None = None
        self._flight: asyncio.Task[_Token] | None = None
        self._forced_at = float("-inf")
        self._not_before = 0.0
        self._pause = RETRY_AFTER_FAILURE[0]

    async def token(self) -> str:
        """A valid token: one that serves for at least a minute, or as long as the platform gives.

        Raises:
            IdentityUnavailable: there is none, and none could be had within the time-out.
        """
        now = self._clock()
        token = self._token
        if token is None or not token.serves(now):
            return (await self._renewed()).value
        # A pause longer than the longest means that the clock was set back.
        if token.due(now) and not 0 < self._not_before - now <= RETRY_AFTER_FAILURE[1]:
            self._take_off()
        return token.value

    async def passport(self) -> Passport:
        """Whose token it is, read from its claims without checking them: to be shown, not to be trusted.

        Raises:
            IdentityUnavailable: as in `token`.
        """
        claims = claims_of(await self.token())
        return Passport(
            client_id=claims.id("appid") or claims.id("azp"),
            object_id=claims.id("oid"),
            tenant_id=claims.id("tid"),
            audience=claims.audience,
            # Only a person's token says what it was allowed to do in the person's name.
            principal="User" if claims.has("scp") else "ServicePrincipal",
            seconds_left=0.0 if self._token is None else self._token.expires_at - self._clock(),
        )

    async def another(self, refused: str) -> str | None:
        """A token other than the one that a service refused, or None when there is none to be had.

        Raises:
            IdentityUnavailable: as in `token`.
        """
        token = self._token
        if token is None or token.value != refused:
            return await self.token()
        if self._flight is None or self._flight.done():
            now = self._clock()
            if 0 <= now - self._forced_at < FORCED_AT_MOST_EVERY:
                return None
            self._forced_at = now
        value = (await self._renewed()).value
        return value if value != refused else None

    async def close(self) -> None:
        """Ends a renewal that is under way."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)

    async def _renewed(self) -> _Token:
        # Shielded: one caller who leaves must not end the flight that the others wait for.
        return await asyncio.shield(self._take_off())

    def _take_off(self) -> asyncio.Task[_Token]:
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(self._fetch())
            # Nobody may be waiting: the outcome is taken here, so that asyncio does not report it as lost.
            self._flight.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._flight

    async def _fetch(self) -> _Token:
        try:
            async with asyncio.timeout(self._timeout):
                credential = await asyncio.to_thread(self._make_credential)
                try:
                    answer = await credential.get_token(self._scope)
                finally:
                    await _quietly(credential.close())
            now = self._clock()
            token = _Token(answer.token, now, float(answer.expires_on))
            if now >= token.expires_at or not re.fullmatch(r"[!-~]+", token.value):
                raise ValueError("expired, or nothing that fits into a header")
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no token
            self._not_before = self._clock() + self._pause
            self._pause = min(self._pause * 2, RETRY_AFTER_FAILURE[1])
            # Only the type: the text can hold the token itself.
            log.warning("no new token: %s", type(error).__name__)
            raise IdentityUnavailable(self._hint, retry_after=RETRY_AFTER_FAILURE[0], fault=_fault(error)) from None
        self._token = token
        self._not_before, self._pause = 0.0, RETRY_AFTER_FAILURE[0]
        return token


def _fault(error: Exception) -> IdentityFault:
    from azure.core import exceptions

    if isinstance(error, TimeoutError):
        return "late"
    if isinstance(error, exceptions.ServiceRequestError | exceptions.ServiceResponseError):
        return "unreachable"
    if isinstance(error, exceptions.HttpResponseError) and error.status_code is not None:
        return "refused" if 400 <= error.status_code < 500 else "failing" if error.status_code >= 500 else "unusable"
    # Nobody is signed in, or the file of a federated token is not there.
    return "absent" if isinstance(error, exceptions.ClientAuthenticationError | OSError) else "unusable"


async def _quietly(closing: Awaitable[Any]) -> None:
    try:
        await closing
    except Exception as error:  # noqa: BLE001 - the token is had already
        log.debug("closing a credential: %s", type(error).__name__)
