"""A conversation in, the model's answer out."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from shared.azure.responses_api import message_item, turn
from shared.call import Call
from shared.chat_request import ChatRequest
from shared.events import Events

if TYPE_CHECKING:
    from shared.bootstrap import Services


async def chat(request: ChatRequest, services: Services, call: Call) -> Events:
    """The events of the answer.

    Raises:
        ModelNotFound, InvalidImage, UnsupportedImage, ImageTooLarge, TooManyImages: before any event.
    """
    model = services.models.choose(request.model)
    # From here on the turn alone holds the pictures, once: the model may take minutes.
    urls = iter(await services.intake.urls(await services.intake.take(request.hand_over_images())))
    items = [message_item(message, urls) for message in request.messages]
    asked = turn(f"chat_{call.id}", request, model, services.settings, items, request.instructions)
    async with aclosing(services.openai.stream(asked, call)) as events:
        async for event in events:
            yield event
