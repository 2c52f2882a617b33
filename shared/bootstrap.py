"""Which real things serve this worker?  Settings in, services out, once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from shared.azure.identity import NOT_SIGNED_IN, TokenKeeper, make_credential
from shared.azure.keyvault import NoVault, Secrets, vault_problem
from shared.azure.openai import OpenAI
from shared.egress import Egress, origin_problem
from shared.models import ModelMap
from shared.pictures import Intake, PictureLimits
from shared.settings import Mistake
from shared.tools import tools
from shared.tools.toolbox import Toolbox

if TYPE_CHECKING:
    from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """What a request may use. It lives as long as the worker."""

    settings: Settings
    models: ModelMap
    keeper: TokenKeeper
    openai: OpenAI
    intake: Intake
    tools: Toolbox
    egress: Egress
    secrets: Secrets | NoVault

    async def warm_up(self) -> None:
        """Does what the first request would wait for: loads the SDK and takes a token.

        Raises:
            IdentityUnavailable: there is no token now; a later request asks again.
        """
        await self.openai.warm_up()
        await self.keeper.token()

    async def close(self) -> None:
        """Closes every connection. Safe to call twice."""
        await self.openai.close()
        await self.keeper.close()
        await self.egress.close()
        await self.secrets.close()
        self.intake.close()


def connect(settings: Settings, box: Toolbox) -> Services:
    """The services for settings without a mistake, and the agent's tools.

    It opens no connection and loads no SDK: both come on first use.
    """
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
    return Services(
        settings,
        ModelMap.from_settings(settings),
        keeper,
        OpenAI(settings, keeper),
        Intake(limits, allow_remote=settings.allow_remote_images),
        box,
        Egress(box.origins, development=settings.development, never=_never(settings)),
        _secrets(settings),
    )


def toolbox(settings: Settings) -> Toolbox:
    """The tools that the agent may use.

    Raises:
        ToolDefinitionError: one is written in a way that cannot work.
    """
    return tools(
        forecast_url=settings.weather_url,
        geocoding_url=settings.weather_geocoding_url,
        weather_key=settings.weather_key_secret,
    )


def problems_of_places(settings: Settings) -> Iterator[Mistake]:
    """What is wrong with where the tools should reach."""
    places = {"WEATHER_URL": settings.weather_url, "WEATHER_GEOCODING_URL": settings.weather_geocoding_url}
    for variable, url in places.items():
        problem = url and origin_problem(url, development=settings.development, never=_never(settings))
        if problem:
            yield Mistake(variable, problem)
    if settings.key_vault_url and (problem := vault_problem(settings.key_vault_url, development=settings.development)):
        yield Mistake("KEY_VAULT_URL", problem)
    if settings.weather_key_secret and not settings.key_vault_url:
        yield Mistake("WEATHER_KEY_SECRET", "needs KEY_VAULT_URL, the vault that holds the secret.")


def _never(settings: Settings) -> list[str]:
    return [settings.identity_endpoint] if settings.identity_endpoint else []


def _secrets(settings: Settings) -> Secrets | NoVault:
    if not settings.key_vault_url:
        return NoVault()
    return Secrets(
        settings.key_vault_url,
        partial(make_credential, settings),
        development=settings.development,
        ca_file=settings.key_vault_ca_file or None,
    )
