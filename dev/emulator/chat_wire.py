"""An answer in the words of chat completions, with what Azure adds: content filter results, and odd chunks.

Reference: https://platform.openai.com/docs/api-reference/chat-streaming, and
https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-streaming for the chunks without choices or delta.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dev.emulator.answer import Answer
from dev.emulator.pieces import Piece, frame
from dev.emulator.refusal import verdicts

FINGERPRINT = "fp_emulated"


@dataclass(frozen=True)
class Completion:
    """One completion in the making; `model` is the model behind the deployment, `created` in epoch seconds."""

    id: str
    created: int
    model: str
    body: Mapping[str, Any]
    answer: Answer

    def final(self) -> dict[str, Any]:
        """The completion, not streamed."""
        content = self.answer.text if self.answer.chunks or not self.answer.calls else None
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
        if self.answer.calls:
            message["tool_calls"] = self._calls()
        return {
            **self._head("chat.completion"),
            "choices": [self._choice("message", message, self._finish())],
            "prompt_filter_results": self._prompt_filter_results(),
            "usage": self._usage(),
        }

    def pieces(self) -> Iterator[Piece]:
        """The stream's chunks and the [DONE]."""
        for kind, chunk in self._chunks():
            yield Piece(frame(chunk), kind)
        if self.answer.finish not in ("failed", "error"):
            yield Piece(frame("[DONE]"), "end")

    def _chunks(self) -> Iterator[tuple[str, dict[str, Any]]]:
        quirks = self.answer.quirks
        yield "lead", self._prompt_chunk()
        yield "lead", self._chunk({"role": "assistant", "content": "", "refusal": None})
        for number, chunk in enumerate(self.answer.chunks):
            if number == 1 and "prompt-filter-chunk" in quirks:
                yield "lead", self._prompt_chunk()
            if number == 1 and "missing-delta" in quirks:
                yield "lead", self._without_delta()
            yield "chunk", self._chunk({"content": chunk})
        for index, call in enumerate(self._calls()):
            opened = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
            yield "lead", self._chunk({"tool_calls": [opened]})
            arguments = call["function"]["arguments"]
            for start in range(0, len(arguments), 8):
                part = {"index": index, "function": {"arguments": arguments[start : start + 8]}}
                yield "chunk", self._chunk({"tool_calls": [part]})
        if self.answer.finish in ("failed", "error"):
            yield "end", {"error": {"code": "server_error", "message": "The model failed while it answered."}}
            return
        if "no-finish" not in quirks:
            yield "end", self._chunk({}, self._finish())
        if (self.body.get("stream_options") or {}).get("include_usage") and self.answer.usage is not None:
            yield "end", {**self._head("chat.completion.chunk"), "choices": [], "usage": self._usage()}

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
        }

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**self._head("chat.completion.chunk"), "choices": [self._choice("delta", delta, finish)], "usage": None}

    def _choice(self, name: str, said: dict[str, Any], finish: str | None) -> dict[str, Any]:
        blocked = "violence" if finish == "content_filter" else None
        told = bool(said.get("content")) or blocked
        return {
            "index": 0,
            name: said,
            "finish_reason": finish,
            "logprobs": None,
            "content_filter_results": verdicts(blocked) if told else {},
        }

    def _prompt_chunk(self) -> dict[str, Any]:
        return {
            "id": "",
            "object": "",
            "created": 0,
            "model": "",
            "choices": [],
            "prompt_filter_results": self._prompt_filter_results(),
        }

    def _without_delta(self) -> dict[str, Any]:
        offsets = {"check_offset": 0, "start_offset": 0, "end_offset": len(self.answer.text)}
        choice = {
            "index": 0,
            "finish_reason": None,
            "content_filter_results": verdicts(),
            "content_filter_offsets": offsets,
        }
        return {"id": "", "object": "", "created": 0, "model": "", "choices": [choice]}

    def _prompt_filter_results(self) -> list[dict[str, Any]]:
        results = {**verdicts(), "jailbreak": {"detected": False, "filtered": False}}
        return [{"prompt_index": 0, "content_filter_results": results}]

    def _calls(self) -> list[dict[str, Any]]:
        return [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in self.answer.calls
        ]

    def _finish(self) -> str:
        return self.answer.finish

    def _usage(self) -> dict[str, Any] | None:
        usage = self.answer.usage
        if usage is None:
            return None
        return {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
            "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": usage.cached},
            "completion_tokens_details": {
                "accepted_prediction_tokens": 0,
                "audio_tokens": 0,
                "reasoning_tokens": usage.reasoning,
                "rejected_prediction_tokens": 0,
            },
        }
