"""Which parameters do deployments refuse?  Learnt from their own answers, once each, so that they are left out."""

from __future__ import annotations

import logging
from typing import Any

from shared.azure.refusal import Unsupported
from shared.models import Deployment

log = logging.getLogger("app.pool")

CAN_BE_LEFT_OUT = frozenset({"temperature", "max_output_tokens", "reasoning", "reasoning.effort", "reasoning.summary"})
"""What only tunes an answer. Without a schema or a tool, say, it would be another answer than was asked for."""

ONE_VALUE_AT_A_TIME = frozenset({"reasoning.effort", "reasoning.summary"})
"""Of these a model may take some values and not others: only the refused one is left out, as otherwise one caller's
choice would take the parameter from all others."""


class Learnt:
    """What each deployment refuses: parameters of a request's body, or one value of a parameter."""

    def __init__(self) -> None:
        self._refused: dict[tuple[str, str], set[tuple[str, str | None]]] = {}

    def leave_out(self, deployment: Deployment, body: dict[str, Any]) -> None:
        """Takes from `body` what the deployment refuses."""
        for parameter, value in self._refused.get((deployment.endpoint, deployment.name), ()):
            _leave_out(body, parameter, value)

    def learn(self, deployment: Deployment, body: dict[str, Any], refused: Unsupported) -> bool:
        """Notes why the deployment refused `body`. True when it is worth sending again without that."""
        parameter = refused.parameter
        if parameter not in CAN_BE_LEFT_OUT or (refused.value and parameter == "max_output_tokens"):
            # A limit that is too high is no reason to have none.
            return False
        value = None
        if refused.value and parameter in ONE_VALUE_AT_A_TIME:
            value = (body.get("reasoning") or {}).get(parameter.partition(".")[2])
        known = self._refused.setdefault((deployment.endpoint, deployment.name), set())
        if (parameter, value) in known:
            return False
        known.add((parameter, value))
        which = parameter if value is None else f"{parameter} {value}"
        log.warning("The deployment %s does not take %s: it is left out from now on.", deployment.name, which)
        return True


def _leave_out(body: dict[str, Any], parameter: str, value: str | None) -> None:
    outer, _, inner = parameter.partition(".")
    if not inner:
        body.pop(outer, None)
        return
    members = body.get(outer)
    if members and inner in members and value in (None, members[inner]):
        rest = {name: given for name, given in members.items() if name != inner}
        body.pop(outer)
        if rest:
            body[outer] = rest
