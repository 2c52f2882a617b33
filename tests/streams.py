"""Reads the app's streams as a frontend would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2

from shared.sse import Decoder


class Stream:
    """An open stream: its frames, one by one or all."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self.raw = b""
        self._frames = self._read()

    def _read(self) -> Iterator[Any]:
        decoder = Decoder()
        for chunk in self.response.iter_bytes():
            self.raw += chunk
            for sent in decoder.feed(chunk):
                yield "[DONE]" if sent.data == "[DONE]" else json.loads(sent.data)

    def next(self) -> Any:
        """The next frame, decoded; `[DONE]` as it is."""
        return next(self._frames)

    def until(self, kind: str) -> Any:
        """The next frame of this type."""
        return next(frame for frame in self._frames if frame != "[DONE]" and frame["type"] == kind)

    def rest(self) -> list[Any]:
        """All frames that are left."""
        return list(self._frames)


@contextmanager
def open_stream(caller: httpx2.Client, path: str, body: Any, **headers: str) -> Iterator[Stream]:
    """Posts `body` and reads the answer while it comes."""
    with caller.stream("POST", path, json=body, headers=headers) as response:
        yield Stream(response)


def text_of(frames: list[Any]) -> str:
    """The text that the frames spell."""
    return "".join(frame["delta"] for frame in frames if frame != "[DONE]" and frame["type"] == "text-delta")
