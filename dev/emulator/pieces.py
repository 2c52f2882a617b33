"""Pieces: an answer cut into what is sent at once, for streams and for faults between them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Piece:
    """Some bytes of an answer. kind: "lead" before any content, "chunk" of content, "end" after all of it."""

    data: bytes
    kind: str = "chunk"


def frame(data: Mapping[str, Any] | str, event: str | None = None) -> bytes:
    """One server-sent event, as the service sends it."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return (f"event: {event}\n" if event else "").encode() + f"data: {text}\n\n".encode()


def verbatim(lines: Sequence[str]) -> Iterator[Piece]:
    """A script's own frames, each ended by a blank line if it does not end with a line break or announce its data."""
    for line in lines:
        whole = "data" in line or not line.startswith(("event:", "id:", "retry:"))
        ending = "" if line.endswith("\n") else "\n\n" if whole and line else "\n"
        yield Piece((line + ending).encode())


def cut(body: Mapping[str, Any], size: int = 64) -> Iterator[Piece]:
    """A JSON body in slices of `size` bytes, so that faults can fall between them."""
    data = json.dumps(body, ensure_ascii=False).encode()
    for start in range(0, len(data), size):
        yield Piece(data[start : start + size], "end" if start + size >= len(data) else "chunk")
