"""The AI SDK's UI message stream.

Source: https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol#data-stream-protocol, and the chunk schemas of npm's `ai` 5 to
7, which refuse a type or a key that they do not know.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

from pydantic_core import to_json

from shared.events import (
    ApprovalNeeded,
    Event,
    Failed,
    Finished,
    OutputItem,
    PictureTaken,
    ReasoningDelta,
    Started,
    StepStarted,
    TextDelta,
    ToolCalled,
    ToolReturned,
)
from shared.sse import encode


class UiStream:
    """Turns the events of one answer into the frames of one stream."""

    headers: ClassVar[dict[str, str]] = {"x-vercel-ai-ui-message-stream": "v1"}

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._open: str | None = None
        self._blocks = 0
        self._in_step = False

    def encode(self, event: Event) -> bytes:
        """The frames that say this event; after a terminal one the stream is complete."""
        match event:
            case Started():
                self._in_step = not event.resumed
                start = _frame({"type": "start", "messageId": event.id})
                return start + _frame({"type": "start-step"}) if self._in_step else start
            case PictureTaken():
                return _frame({"type": "data-picture", "data": asdict(event)})
            case TextDelta():
                return self._delta("text", event.text)
            case ReasoningDelta():
                return self._delta("reasoning", event.text)
            case StepStarted():
                return self._finish_step() + self._start_step()
            case ToolCalled() if event.resumed:
                # The frontend holds this call, and looks for its parts in the whole message only without a new one.
                return b""
            case ToolCalled():
                call = {"toolCallId": event.id, "toolName": event.name}
                return (
                    self._close()
                    + _frame({"type": "tool-input-start", **call})
                    + _frame({"type": "tool-input-available", **call, "input": event.arguments})
                )
            case ToolReturned() if event.error is not None:
                return _frame({"type": "tool-output-error", "toolCallId": event.id, "errorText": event.error})
            case ToolReturned():
                return _frame({"type": "tool-output-available", "toolCallId": event.id, "output": event.output})
            case ApprovalNeeded():
                return _frame({"type": "data-approval", "data": asdict(event)})
            case OutputItem():
                return b""
            case Finished():
                metadata: dict[str, Any] = {
                    "finish_reason": event.reason,
                    "usage": asdict(event.usage),
                    "request_id": self._request_id,
                }
                if event.stopped_by:
                    metadata["stopped_by"] = event.stopped_by
                return self._finish_step() + _frame({"type": "finish", "messageMetadata": metadata}) + encode("[DONE]")
            case Failed():
                error = event.error
                data = error.told(self._request_id)
                # The error part has room for a text alone, so the part before it carries what a program needs.
                return (
                    self._close()
                    + _frame({"type": "data-error", "data": data, "transient": True})
                    + _frame({"type": "error", "errorText": error.message})
                    + encode("[DONE]")
                )

    def _delta(self, kind: str, text: str) -> bytes:
        opening = b""
        if self._open != kind:
            opening = self._close()
            self._open, self._blocks = kind, self._blocks + 1
            opening += _frame({"type": f"{kind}-start", "id": str(self._blocks)})
        return opening + _frame({"type": f"{kind}-delta", "id": str(self._blocks), "delta": text})

    def _start_step(self) -> bytes:
        self._in_step = True
        return _frame({"type": "start-step"})

    def _finish_step(self) -> bytes:
        closing = self._close()
        if self._in_step:
            closing += _frame({"type": "finish-step"})
        self._in_step = False
        return closing

    def _close(self) -> bytes:
        kind, self._open = self._open, None
        return _frame({"type": f"{kind}-end", "id": str(self._blocks)}) if kind else b""


def _frame(part: dict[str, Any]) -> bytes:
    return b"data: " + to_json(part) + b"\n\n"
