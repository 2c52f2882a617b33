"""Whatever bytes come, a request is either checked or refused in words of this app."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.chat_request import ChatRequest, parse_chat
from shared.errors import AppError
from shared.requests import Incoming
from shared.settings import Settings

SETTINGS = Settings.from_env({})
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
NAMES = [*(ChatRequest.model_fields.keys() - {"messages"}), "max_tokens", "max_completion_tokens", "id", "trigger"]
PART = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "file", "reasoning", "tool-x"]) | JSON},
    optional={"text": JSON, "image_url": JSON, "mediaType": JSON, "url": JSON},
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"]) | JSON},
    optional={"content": JSON | st.lists(PART, max_size=3), "parts": JSON | st.lists(PART, max_size=3)},
)
BODY = st.fixed_dictionaries({"messages": st.lists(MESSAGE, max_size=3) | JSON}, optional=dict.fromkeys(NAMES, JSON))


def parse(body: bytes) -> ChatRequest | None:
    """The request, or None when it is refused; anything else is a fault."""
    try:
        return parse_chat(Incoming(body, {"content-type": "application/json"}), SETTINGS)
    except AppError as error:
        refusal = error
    assert 400 <= refusal.status < 500
    assert len(refusal.message) < 1000
    return None


@given(BODY)
def test_any_json_is_checked_or_refused(body: dict[str, Any]) -> None:
    request = parse(json.dumps(body).encode())
    assert request is None or request.messages


@given(st.binary(max_size=200))
def test_any_bytes_are_checked_or_refused(body: bytes) -> None:
    parse(body)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_both_shapes_become_the_same_request(texts: list[str]) -> None:
    ours = {"stream": True, "messages": [{"role": "user", "content": [{"type": "text", "text": t}]} for t in texts]}
    theirs = {
        "id": "c",
        "trigger": "submit-message",
        "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": text}]} for text in texts],
    }
    assert parse(json.dumps(ours).encode()) == parse(json.dumps(theirs).encode()) is not None
