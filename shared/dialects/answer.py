"""One answer in one piece: the fold of the events that a stream would send."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic_core import from_json

from shared.agent_request import AgentRequest
from shared.chat_request import ChatRequest
from shared.errors import AppError
from shared.events import (
    ApprovalNeeded,
    Events,
    Failed,
    FinishReason,
    PictureTaken,
    Started,
    StepStarted,
    TextDelta,
    ToolCalled,
    ToolReturned,
    Usage,
)
from shared.events import Finished as Finish
from shared.image_request import ImageRequest
from shared.requests import JsonObjectFormat, JsonSchemaFormat


@dataclass(slots=True)
class _Whole:
    """What a sequence of events amounts to."""

    id: str = ""
    model: str = ""
    text: str = ""
    finish_reason: FinishReason = "stop"
    usage: Usage = field(default_factory=Usage)
    stopped_by: str | None = None
    pictures: list[PictureTaken] = field(default_factory=list)
    steps: list[list[dict[str, Any]]] = field(default_factory=lambda: [[]])
    pending: list[ApprovalNeeded] = field(default_factory=list)
    failure: AppError | None = None

    @classmethod
    async def of(cls, events: Events) -> _Whole:
        """Folds the events; an answer that fails or breaks off is an error, never half an answer."""
        whole = cls()
        text: list[str] = []
        async for event in events:
            match event:
                case Started():
                    whole.id, whole.model = event.id, event.model
                case PictureTaken():
                    whole.pictures.append(event)
                case TextDelta():
                    text.append(event.text)
                case StepStarted():
                    # The answer is what the last step says.
                    text.clear()
                    whole.steps.append([])
                case ToolCalled():
                    whole.steps[-1].append({"id": event.id, "name": event.name, "arguments": event.arguments})
                case ToolReturned():
                    whole.returned(event)
                case ApprovalNeeded():
                    whole.pending.append(event)
                case Failed():
                    whole.failure = event.error
                case Finish():
                    whole.finish_reason, whole.usage, whole.stopped_by = event.reason, event.usage, event.stopped_by
        whole.text = "".join(text)
        return whole

    def returned(self, result: ToolReturned) -> None:
        """Puts a result to its call."""
        (call,) = (call for call in self.steps[-1] if call["id"] == result.id)
        told = {"output": result.output} if result.error is None else {"error": result.error}
        call.update(told, ms=result.ms)


async def chat_answer(_request: ChatRequest, events: Events) -> dict[str, Any]:
    """The whole answer of a conversation.

    Raises:
        AppError: the answer failed or broke off.
    """
    whole = await _Whole.of(events)
    return {
        "id": whole.id,
        "model": whole.model,
        "message": {"role": "assistant", "content": whole.text},
        "finish_reason": whole.finish_reason,
        "usage": asdict(whole.usage),
    }


async def agent_answer(_request: AgentRequest, events: Events) -> dict[str, Any]:
    """The whole run: its last words, its steps, and what it stopped by, if anything.

    Raises:
        AppError: the run failed or broke off.
    """
    whole = await _Whole.of(events)
    if whole.failure is not None:
        whole.failure.beside["steps"] = [{"tool_calls": calls} for calls in whole.steps if calls]
        raise whole.failure
    return {
        "id": whole.id,
        "model": whole.model,
        "message": {"role": "assistant", "content": whole.text},
        "steps": [{"tool_calls": calls} for calls in whole.steps if calls],
        "pending": [asdict(approval) for approval in whole.pending],
        "finish_reason": whole.finish_reason,
        "stopped_by": whole.stopped_by,
        "usage": asdict(whole.usage),
    }


async def image_answer(request: ImageRequest, events: Events) -> dict[str, Any] | str:
    """The whole analysis; the bare text when the caller accepts `text/plain`.

    When JSON was asked for, `json` is the parsed text, or null when the answer was cut before its end.

    Raises:
        AppError: the answer failed or broke off.
    """
    whole = await _Whole.of(events)
    if request.plain:
        return whole.text
    answer: dict[str, Any] = {"id": whole.id, "model": whole.model, "text": whole.text}
    if isinstance(request.options.response_format, JsonObjectFormat | JsonSchemaFormat):
        answer["json"] = _parsed(whole.text)
    return {
        **answer,
        "finish_reason": whole.finish_reason,
        "usage": asdict(whole.usage),
        "images": [asdict(picture) for picture in whole.pictures],
    }


def _parsed(text: str) -> Any:
    try:
        return from_json(text)
    except ValueError:
        return None
