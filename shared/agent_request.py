"""What did the caller ask of the agent?  A conversation, and perhaps a run that waits for an approval."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from shared.chat_request import ChatRequest, parse_conversation
from shared.errors import InvalidRequest
from shared.guards import LONGEST_OUTPUT
from shared.requests import Incoming, Strict

if TYPE_CHECKING:
    from shared.settings import Settings

MOST_STEPS = 100
MOST_CALLS = 100

Name = Annotated[str, Field(min_length=1, max_length=64)]
ModelsName = Annotated[str, Field(max_length=200)]
"""A name that the model gave: of any kind, as what it called may not exist."""
CallId = Annotated[str, Field(min_length=1, max_length=200)]


class PastCall(Strict):
    """A tool call of an earlier answer, as that answer told it. One without output or error awaits its approval."""

    id: CallId
    name: ModelsName
    arguments: dict[str, Any] | str
    output: str | None = Field(default=None, max_length=LONGEST_OUTPUT)
    error: str | None = Field(default=None, max_length=LONGEST_OUTPUT)
    ms: float | None = None

    @property
    def pending(self) -> bool:
        """Whether it awaits an approval."""
        return self.output is None and self.error is None


class PastStep(Strict):
    """One step of an earlier answer."""

    tool_calls: list[PastCall] = Field(max_length=MOST_CALLS, fail_fast=True)


class Approval(Strict):
    """A person's decision on one call: its id and the SHA-256 of its arguments, so that nothing else is approved."""

    id: CallId
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    decision: Literal["approved", "refused"]


class AgentRequest(ChatRequest):
    """A conversation for the agent. The limits can only lower those of the settings."""

    tools: list[Name] | None = Field(default=None, max_length=100, fail_fast=True, description="Of the app's tools.")
    max_steps: int | None = Field(default=None, ge=1)
    max_tool_calls: int | None = Field(default=None, ge=0)
    max_seconds: float | None = Field(default=None, gt=0)
    max_total_output_tokens: int | None = Field(default=None, ge=16)
    steps: list[PastStep] = Field(
        default_factory=list, max_length=MOST_STEPS, fail_fast=True, description="Of the answer that waits."
    )
    continues: str | None = Field(default=None, max_length=200, description="The id of the answer that waits.")
    approvals: list[Approval] = Field(default_factory=list, max_length=MOST_CALLS, fail_fast=True)


def parse_agent(incoming: Incoming, settings: Settings) -> AgentRequest:
    """Reads a request for the agent, in this app's own shape or as the AI SDK sends it.

    Raises:
        UnsupportedMediaType, InvalidJson, InvalidRequest, FeatureRetired: as for chat. A pending call without a
            decision, and a decision that fits no pending call, are invalid too.
    """
    request = parse_conversation(AgentRequest, incoming, settings)
    calls = [call for step in request.steps for call in step.tool_calls]
    if len({call.id for call in calls}) < len(calls):
        raise InvalidRequest("steps: two calls have the same id.")
    decisions = {approval.id: approval for approval in request.approvals}
    for call in calls:
        if call.pending and call.id not in decisions:
            raise InvalidRequest(f"approvals: the call {call.id[:40]} awaits a decision.")
    pending = {call.id: call for call in calls if call.pending}
    for approval in request.approvals:
        waiting = pending.get(approval.id)
        if waiting is None:
            raise InvalidRequest(f"approvals: no pending call of the steps has the id {approval.id[:40]}.")
        if fingerprint(waiting.arguments) != approval.sha256:
            raise InvalidRequest(
                f"approvals: the SHA-256 for {approval.id[:40]} is not that of the call's arguments."
                " Approve what is shown."
            )
    return request


def fingerprint(arguments: dict[str, Any] | str) -> str:
    """The SHA-256 of a call's arguments, as 64 hex digits: of their JSON with sorted keys and no spaces, in UTF-8."""
    text = json.dumps(_plain(arguments), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: Any) -> Any:
    # A frontend that reads 1.0 writes 1.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value
