"""Which real things serve this worker?  Settings in, services out, once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from shared import toolkit
from shared.azure import shared_state
from shared.azure.calls import PoolRules
from shared.azure.client import Client
from shared.azure.identity import NOT_SIGNED_IN, TokenKeeper, make_credential
from shared.azure.keyvault import NoVault, Secrets
from shared.azure.openai import OpenAI
from shared.azure.outcomes import AttemptReport, HealthChange, Report
from shared.azure.pool import Pool
from shared.azure.shared_state import RedisState
from shared.egress import Egress
from shared.memory import give_back_large_blocks
from shared.models import ModelMap
from shared.pictures import Intake, PictureLimits
from shared.telemetry import deployment_called, deployment_changed
from shared.tools.toolbox import Toolbox

if TYPE_CHECKING:
    from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """What a request may use. It lives as long as the worker."""

    settings: Settings
    models: ModelMap
    keeper: TokenKeeper
    client: Client
    openai: OpenAI
    intake: Intake
    pool: Pool
    tools: Toolbox
    egress: Egress
    secrets: Secrets | NoVault
    together: Together | None = None

    async def warm_up(self) -> None:
        """Does what the first request would wait for: loads the SDK and takes a token.

        Raises:
            IdentityUnavailable: there is no token now; a later request asks again.
        """
        await self.client.warm_up()
        await self.keeper.token()

    async def close(self) -> None:
        """Closes every connection. Safe to call twice."""
        await self.client.close()
        await self.keeper.close()
        if self.together is not None:
            await self.together.close()
        await self.egress.close()
        await self.secrets.close()
        self.intake.close()


@dataclass(frozen=True, slots=True)
class Together:
    """What keeps this worker's pool in step with the others': the exchange, and the token that it signs in with."""

    state: RedisState
    keeper: TokenKeeper | None

    async def close(self) -> None:
        """Ends the exchange."""
        await self.state.close()
        if self.keeper is not None:
            await self.keeper.close()


def connect(settings: Settings, box: Toolbox) -> Services:
    """The services for settings without a mistake, and the agent's tools.

    It opens no connection and loads no SDK: both come on first use.
    """
    give_back_large_blocks()
    keeper = TokenKeeper(
        partial(make_credential, settings),
        settings.token_scope,
        timeout=settings.token_timeout,
        hint=NOT_SIGNED_IN if settings.credential_kind == "developer" else None,
    )
    limits = PictureLimits(
        max_images=settings.max_images,
        max_bytes=settings.max_image_bytes,
        max_pixels=settings.max_image_pixels,
        long_side=settings.image_long_side,
    )
    models = ModelMap.from_settings(settings)
    together = _together(settings) if settings.redis_url else None
    pool = _pool(settings, models, together)
    client = Client(settings, keeper)
    return Services(
        settings,
        models,
        keeper,
        client,
        OpenAI(client, pool),
        Intake(limits, allow_remote=settings.allow_remote_images),
        pool,
        box,
        toolkit.egress(settings, box),
        toolkit.secrets(settings),
        together,
    )


def _pool(settings: Settings, models: ModelMap, together: Together | None) -> Pool:
    rules = PoolRules(
        first_byte=settings.first_event_timeout,
        most_calls=settings.max_attempts,
        concurrency=settings.max_concurrent_requests,
        queue=settings.queue_size,
        queue_wait=settings.queue_seconds,
    )
    shared = None if together is None else together.state
    return Pool(models.models.values(), rules=rules, listener=_tell, shared=shared)


def _together(settings: Settings) -> Together:
    if not settings.redis_takes_a_token:
        return Together(RedisState(settings.redis_url), None)
    keeper = TokenKeeper(partial(make_credential, settings), shared_state.SCOPE, timeout=settings.token_timeout)
    return Together(RedisState(settings.redis_url, token=keeper.token), keeper)


def _tell(report: Report) -> None:
    where = report.deployment
    match report:
        case HealthChange():
            deployment_changed(where.name, where.endpoint, report.state, report.seconds)
        case AttemptReport():
            deployment_called(where.name, where.endpoint, report.outcome, report.ms, report.number)
