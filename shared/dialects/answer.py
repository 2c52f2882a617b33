"""One JSON answer: the fold of the events that a stream would send."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from shared.events import Events, Finished, Started, TextDelta


async def chat_answer(events: Events) -> dict[str, Any]:
    """The whole answer of a conversation.

    Raises:
        AppError: the answer failed or broke off; a part of it is not given as a whole.
    """
    answer: dict[str, Any] = {}
    text: list[str] = []
    async for event in events:
        match event:
            case Started():
                answer = {"id": event.id, "model": event.model}
            case TextDelta():
                text.append(event.text)
            case Finished():
                answer["message"] = {"role": "assistant", "content": "".join(text)}
                answer["finish_reason"] = event.reason
                answer["usage"] = asdict(event.usage)
    return answer
