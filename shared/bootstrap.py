"""Which real things serve this worker?  Settings in, services out, once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from shared.azure.identity import TokenKeeper, make_credential
from shared.azure.openai import OpenAI
from shared.models import ModelMap
from shared.pictures import Intake, PictureLimits

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
        self.intake.close()


def connect(settings: Settings) -> Services:
    """The services for settings without a mistake. It opens no connection and loads no SDK: both come on first use."""
    keeper = TokenKeeper(partial(make_credential, settings), settings.token_scope, timeout=settings.token_timeout)
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
    )
