"""A tool's context, for tests."""

from __future__ import annotations

import time
from collections.abc import Mapping

from shared.azure.keyvault import SecretUnavailable
from shared.egress import Egress
from shared.tools.tool import ToolContext


class GivenSecrets:
    """Secrets that the test gives."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = secrets

    async def get(self, name: str) -> str:
        try:
            return self._secrets[name]
        except KeyError:
            raise SecretUnavailable(name, "not_found") from None


def context(
    *,
    caller: str | None = None,
    seconds: float = 5.0,
    secrets: Mapping[str, str] | None = None,
    http: Egress | None = None,
) -> ToolContext:
    """A context with a deadline in so many seconds."""
    return ToolContext(caller, time.monotonic() + seconds, GivenSecrets(secrets or {}), http or Egress())
