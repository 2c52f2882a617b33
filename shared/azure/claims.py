"""What an access token says of itself. Nothing is checked: that is for whoever the token is shown to."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
AUDIENCE = re.compile(r"[a-z]{3,10}://[A-Za-z0-9./_-]{1,200}|" + GUID.pattern)


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a token; what does not look as it should is not there, so that all of it may be shown."""

    values: Mapping[str, Any]

    def id(self, name: str) -> str:
        """A claim that is a GUID, or nothing."""
        value = self.values.get(name)
        return value if isinstance(value, str) and GUID.fullmatch(value) else ""

    @property
    def audience(self) -> str:
        """Whom the token is for, without a slash at its end; or nothing."""
        value = self.values.get("aud")
        return value.rstrip("/") if isinstance(value, str) and AUDIENCE.fullmatch(value) else ""

    def has(self, name: str) -> bool:
        """Whether there is such a claim."""
        return name in self.values


def claims_of(token: str) -> Claims:
    """The claims of a signed token; none of one that is not in that form."""
    try:
        part = token.split(".")[1]
        values = from_json(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError):
        values = None
    return Claims(values if isinstance(values, dict) else {})
