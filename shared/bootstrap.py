"""Which real things serve this worker?  Settings in, services out, once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from shared.azure.identity import TokenKeeper, make_credential
from shared.azure.openai import OpenAI
from shared.models import ModelMap

if TYPE_CHECKING:
    from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """What a request may use. It lives as long as the worker."""

    settings: Settings
    models: ModelMap
    keeper: TokenKeeper
    openai: OpenAI

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


def connect(settings: Settings) -> Services:
    """The services for settings without a mistake. It opens no connection and loads no SDK: both come on first use."""
    keeper = TokenKeeper(partial(make_credential, settings), settings.token_scope, timeout=settings.token_timeout)
    return Services(settings, ModelMap.from_settings(settings), keeper, OpenAI(settings, keeper))
