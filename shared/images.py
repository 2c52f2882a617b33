"""Pictures and an instruction in, an analysis out."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from shared.azure.responses_api import image_part, turn, user_message
from shared.call import Call
from shared.events import Events, PictureTaken, Started
from shared.image_request import ImageRequest
from shared.pictures import Picture

if TYPE_CHECKING:
    from shared.bootstrap import Services


async def analyze(request: ImageRequest, services: Services, call: Call) -> Events:
    """The events of the analysis; the pictures are told once the model has begun.

    Raises:
        ModelNotFound, InvalidImage, UnsupportedImage, ImageTooLarge, TooManyImages: before any event.
    """
    options = request.options
    model = services.models.choose(options.model)
    taken = await services.intake.take(request.hand_over())
    told = [_told(picture) for picture in taken if isinstance(picture, Picture)]
    # From here on the turn alone holds the pictures, once: the model may take minutes.
    urls = await services.intake.urls(taken)
    del taken
    message = user_message(options.instructions, [image_part(url, options.detail) for url in urls])
    del urls
    asked = turn(f"images_{call.id}", options, model, services.settings, [message])
    del message
    async with aclosing(services.openai.stream(asked, call)) as events:
        async for event in events:
            yield event
            if isinstance(event, Started):
                for picture in told:
                    yield picture


def _told(picture: Picture) -> PictureTaken:
    return PictureTaken(picture.media_type, picture.width, picture.height, len(picture.data), picture.changed)
