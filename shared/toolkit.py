"""Which tools has the agent, where may they reach, and whose secrets have they?  Settings in, real things out."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from shared.azure.identity import make_credential
from shared.azure.keyvault import NoVault, Secrets, vault_problem
from shared.egress import Egress, origin_problem
from shared.settings import Mistake, Settings
from shared.tools import tools
from shared.tools.toolbox import Toolbox


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


def problems(settings: Settings) -> Iterator[Mistake]:
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


def egress(settings: Settings, box: Toolbox) -> Egress:
    """The one way out of the tools in this box."""
    return Egress(box.origins, development=settings.development, never=_never(settings))


def secrets(settings: Settings) -> Secrets | NoVault:
    """The vault of the tools' secrets, if there is one."""
    if not settings.key_vault_url:
        return NoVault()
    return Secrets(
        settings.key_vault_url,
        partial(make_credential, settings),
        development=settings.development,
        ca_file=settings.key_vault_ca_file or None,
    )


def _never(settings: Settings) -> list[str]:
    return [settings.identity_endpoint] if settings.identity_endpoint else []
