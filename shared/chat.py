"""A conversation in, the model's answer out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.azure.responses_api import turn
from shared.events import Events
from shared.requests import ChatRequest

if TYPE_CHECKING:
    from shared.bootstrap import Services


def chat(request: ChatRequest, services: Services, request_id: str) -> Events:
    """The events of the answer.

    Raises:
        ModelNotFound: at once; every other error comes with the events.
    """
    model = services.models.choose(request.model)
    return services.openai.stream(turn(f"chat_{request_id}", request, model, services.settings))
