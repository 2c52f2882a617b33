"""An answer in the words of the Responses API: the response object, and the events of its stream.

Reference: https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dev.emulator.answer import Answer, words
from dev.emulator.pieces import Piece, frame
from dev.emulator.refusal import verdicts
from dev.emulator.responses_request import seal

ECHOED = (
    "instructions", "max_output_tokens", "max_tool_calls", "metadata", "previous_response_id", "prompt_cache_key",
    "safety_identifier", "top_logprobs", "user",
)  # fmt: skip


@dataclass(frozen=True)
class Response:
    """One response in the making: the body that asked for it, and the answer. `created` is in epoch seconds."""

    id: str
    created: int
    body: Mapping[str, Any]
    answer: Answer
    resource: str

    @cached_property
    def items(self) -> tuple[dict[str, Any], ...]:
        """The output items, finished: reasoning, then the message, then the calls."""
        return tuple(self._items())

    def final(self) -> dict[str, Any]:
        """The finished response object."""
        finish = self.answer.finish
        if finish in ("failed", "error"):
            failure = {"code": "server_error", "message": "The model failed while it answered."}
            return self.shell("failed", list(self.items), error=failure)
        if finish in ("length", "content_filter"):
            reason = "max_output_tokens" if finish == "length" else finish
            return self.shell("incomplete", list(self.items), incomplete_details={"reason": reason})
        return self.shell("completed", list(self.items), completed_at=self.created)

    def shell(self, status: str, output: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """The response object with this status and this output."""
        asked = self.body
        tools = asked.get("tools") or []
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": False,
            "completed_at": None,
            "content_filters": self._content_filters(),
            "error": None,
            "incomplete_details": None,
            **{name: asked.get(name) for name in ECHOED},
            "metadata": asked.get("metadata") or {},
            "model": asked["model"],
            "output": output,
            "parallel_tool_calls": asked.get("parallel_tool_calls", True),
            "reasoning": {"effort": None, "summary": None, **(asked.get("reasoning") or {})},
            "service_tier": "default",
            "store": asked.get("store") is not False,
            "temperature": asked.get("temperature", 1.0),
            "text": {"format": {"type": "text"}, "verbosity": "medium", **(asked.get("text") or {})},
            "tool_choice": asked.get("tool_choice") or "auto",
            "tools": [{"strict": False, "description": None, **tool} for tool in tools],
            "top_p": asked.get("top_p", 1.0),
            "truncation": asked.get("truncation") or "disabled",
            "usage": None if status == "in_progress" else self._usage(),
            **more,
        }

    def pieces(self) -> Iterator[Piece]:
        """The stream's events, with rising sequence numbers."""
        for number, (kind, event) in enumerate(self._events()):
            told = {"type": event["type"], "sequence_number": number, **event}
            yield Piece(frame(told, event["type"]), kind)

    def _events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        yield "lead", {"type": "response.created", "response": self.shell("in_progress", [])}
        yield "lead", {"type": "response.in_progress", "response": self.shell("in_progress", [])}
        for position, item in enumerate(self.items):
            told = {"reasoning": self._reasoning, "message": self._message, "function_call": self._call}[item["type"]]
            for kind, event in told(item):
                yield kind, {"output_index": position, **event}
        final = self.final()
        if self.answer.finish == "error":
            yield "end", {"type": "error", "param": None, **final["error"]}
        else:
            yield "end", {"type": f"response.{final['status']}", "response": final}

    def _message(self, item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        place = {"item_id": item["id"], "content_index": 0}
        part = item["content"][0]
        yield "lead", _added({**item, "status": "in_progress", "content": []})
        yield "lead", {"type": "response.content_part.added", **place, "part": {**part, "text": ""}}
        for number, chunk in enumerate(self.answer.chunks):
            if number == 1 and "missing-delta" in self.answer.quirks:
                yield "lead", {"type": "response.output_text.delta", **place, "logprobs": []}
            # The service pads its deltas so that their size on the wire does not tell the text.
            padded = {"delta": chunk, "logprobs": [], "obfuscation": "x" * (16 - len(chunk) % 16)}
            yield "chunk", {"type": "response.output_text.delta", **place, **padded}
        if "no-finish" not in self.answer.quirks:
            yield "end", {"type": "response.output_text.done", **place, "text": part["text"], "logprobs": []}
            yield "end", {"type": "response.content_part.done", **place, "part": part}
            yield "end", _done(item)

    def _call(self, item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        yield "lead", _added({**item, "status": "in_progress", "arguments": ""})
        # Small pieces, as the service sends them, but never so many that a long text takes seconds.
        piece = max(8, len(item["arguments"]) // 200)
        for start in range(0, len(item["arguments"]), piece):
            delta = item["arguments"][start : start + piece]
            yield "chunk", {"type": "response.function_call_arguments.delta", "item_id": item["id"], "delta": delta}
        if "no-finish" not in self.answer.quirks:
            arguments = {"arguments": item["arguments"], "name": item["name"]}
            yield "end", {"type": "response.function_call_arguments.done", "item_id": item["id"], **arguments}
        yield "end", _done(item)

    def _reasoning(self, item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        yield "lead", _added({**item, "summary": []})
        for index, part in enumerate(item["summary"]):
            place = {"item_id": item["id"], "summary_index": index}
            empty = {**part, "text": ""}
            yield "lead", {"type": "response.reasoning_summary_part.added", **place, "part": empty}
            for word in words(part["text"]):
                yield "lead", {"type": "response.reasoning_summary_text.delta", **place, "delta": word}
            yield "lead", {"type": "response.reasoning_summary_text.done", **place, "text": part["text"]}
            yield "lead", {"type": "response.reasoning_summary_part.done", **place, "part": part}
        yield "lead", _done(item)

    def _items(self) -> Iterator[dict[str, Any]]:
        cut = self.answer.finish in ("length", "content_filter", "failed", "error")
        status = "incomplete" if cut else "completed"
        key = self.id.removeprefix("resp_")
        if self.answer.reasoning is not None:
            item_id = f"rs_{key}"
            told = bool((self.body.get("reasoning") or {}).get("summary")) and self.answer.reasoning
            item: dict[str, Any] = {"id": item_id, "type": "reasoning", "summary": []}
            if told:
                item["summary"] = [{"type": "summary_text", "text": told}]
            if "reasoning.encrypted_content" in (self.body.get("include") or []):
                item["encrypted_content"] = seal(self.resource, item_id)
            yield item
        if self.answer.chunks or not self.answer.calls:
            part = {"type": "output_text", "annotations": [], "logprobs": [], "text": self.answer.text}
            yield {"id": f"msg_{key}", "type": "message", "status": status, "role": "assistant", "content": [part]}
        for number, call in enumerate(self.answer.calls):
            yield {
                "id": f"fc_{key}_{number}",
                "type": "function_call",
                "status": status,
                "arguments": call.arguments,
                "call_id": call.id,
                "name": call.name,
            }

    def _usage(self) -> dict[str, Any] | None:
        usage = self.answer.usage
        if usage is None:
            return None
        return {
            "input_tokens": usage.input,
            "input_tokens_details": {"cached_tokens": usage.cached},
            "output_tokens": usage.output,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": usage.input + usage.output,
        }

    def _content_filters(self) -> list[dict[str, Any]]:
        return [
            {
                "blocked": False,
                "source_type": "prompt",
                "content_filter_raw": [],
                "content_filter_results": {**verdicts(), "jailbreak": {"detected": False, "filtered": False}},
                "content_filter_offsets": {"start_offset": 0, "end_offset": 0, "check_offset": 0},
            }
        ]


def _added(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.added", "item": item}


def _done(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.done", "item": item}
