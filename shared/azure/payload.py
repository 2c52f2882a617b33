"""A request's body on its way out: pictures go in pieces, so that none of them is held a second time."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

from pydantic_core import to_json

PIECE = 256 * 1024
"""Characters that are sent at once. A picture shorter than this is sent with the rest."""


class Payload:
    """A body as JSON. The data URLs of its pictures stay the strings that they are until they are sent.

    Only what this app made itself is taken for such a picture: its characters need no escape in JSON.
    """

    def __init__(self, body: dict[str, Any]) -> None:
        """Takes a body as `Turn.body` makes it."""
        # A mark that nobody who wrote a part of the body can have known.
        self._mark = secrets.token_hex(16)
        self._urls: list[str] = []
        marked = {**body, "input": [self._marked(item) for item in body["input"]]}
        self._texts = to_json(marked, inf_nan_mode="constants").split(self._mark.encode())
        self.size = sum(map(len, self._texts)) + sum(map(len, self._urls))

    @property
    def content(self) -> bytes | Payload:
        """What to send: the bytes themselves where there is no large picture."""
        return self if self._urls else self._texts[0]

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The body, piece by piece."""
        return self._sent()

    async def _sent(self) -> AsyncIterator[bytes]:
        for piece in self._pieces():
            yield piece

    def _pieces(self) -> Iterator[bytes]:
        yield self._texts[0]
        for url, text in zip(self._urls, self._texts[1:], strict=True):
            for start in range(0, len(url), PIECE):
                yield url[start : start + PIECE].encode("ascii")
            yield text

    def _marked(self, item: dict[str, Any]) -> dict[str, Any]:
        content = item.get("content")
        if item.get("role") != "user" or not isinstance(content, list):
            return item
        return {**item, "content": [self._marked_part(part) for part in content]}

    def _marked_part(self, part: dict[str, Any]) -> dict[str, Any]:
        url = part.get("image_url")
        if not isinstance(url, str) or len(url) < PIECE or not url.startswith("data:image/"):
            return part
        self._urls.append(url)
        return {**part, "image_url": self._mark}
