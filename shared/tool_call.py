"""One call that the model made of a tool: its text as it came, and decoded where it can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from pydantic_core import from_json

from shared.azure.responses_api import call_item
from shared.errors import UpstreamInterrupted

LONGEST_ARGUMENTS = 100_000
LONGEST_ERROR = 2_000
LONGEST_NAME = 200
"""Characters of a call's arguments, of a tool's error, and of a name or id that the model gives."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call. Its `text` is the arguments as the model wrote them."""

    id: str
    name: str
    text: str

    @property
    def arguments(self) -> dict[str, Any] | str:
        """The decoded arguments, or the text itself where it is no JSON object, or too long to be looked at."""
        if len(self.text) > LONGEST_ARGUMENTS:
            return ""
        try:
            decoded = from_json(self.text, allow_inf_nan=False)
        except ValueError:
            return self.text
        return decoded if isinstance(decoded, dict) else self.text

    def item(self) -> dict[str, Any]:
        """The call as the conversation carries it on."""
        if len(self.text) > LONGEST_ARGUMENTS:
            return call_item(self.id, self.name, '{"left out":"too long"}')
        return call_item(self.id, self.name, self.text)

    @classmethod
    def of(cls, item: dict[str, Any]) -> Self:
        """The call of an output item.

        Raises:
            UpstreamInterrupted: it makes no sense.
        """
        texts = [item.get(name) for name in ("call_id", "name", "arguments")]
        call_id, name, arguments = (text if isinstance(text, str) else None for text in texts)
        if not call_id or len(call_id) > LONGEST_NAME or name is None or len(name) > LONGEST_NAME or arguments is None:
            raise UpstreamInterrupted
        return cls(call_id, name, arguments)
