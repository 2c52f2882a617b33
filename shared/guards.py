"""How far may one run of the agent go?  Limits from the settings, lowered by the request, and what is left of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from shared.agent_request import AgentRequest
    from shared.settings import Settings

StoppedBy = Literal["steps", "tool_calls", "seconds", "output_tokens", "repeats", "approval"]

LAST_ANSWER_TOKENS = 1024
"""What the last answer may take even when the tokens of the run are used up."""

LEAST_TOKENS = 16
"""What Azure OpenAI asks for at least."""

LONGEST_OUTPUT = 50_000
"""Characters of a tool's result; what is longer is not given to the model: it reads how long it was."""

LAST_ANSWER_PART, LAST_ANSWER_SECONDS = 0.25, 30.0
"""What is kept of a request's time for the last answer: a part of it, and at most so many seconds."""

SAME_CALL_AT_MOST = 3
"""The third time that the model asks for the same, it is not run again."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one run. `seconds` are counted from its beginning."""

    steps: int
    tool_calls: int
    seconds: float
    output_tokens: int

    @classmethod
    def of(cls, settings: Settings, request: AgentRequest) -> Limits:
        """The settings' limits; a request can only lower them."""
        return cls(
            steps=min(request.max_steps or settings.agent_max_steps, settings.agent_max_steps),
            tool_calls=_lower(request.max_tool_calls, settings.agent_max_tool_calls),
            seconds=min(request.max_seconds or settings.agent_max_seconds, settings.agent_max_seconds),
            output_tokens=min(
                request.max_total_output_tokens or settings.agent_max_output_tokens, settings.agent_max_output_tokens
            ),
        )


def _lower(asked: int | None, most: int) -> int:
    return most if asked is None else min(asked, most)


def end_of_steps(limits: Limits, now: float, deadline: float) -> float:
    """When no further step is taken, in the event loop's seconds: in time for a last answer before the deadline."""
    kept = min(LAST_ANSWER_SECONDS, LAST_ANSWER_PART * (deadline - now))
    return min(now + limits.seconds, deadline - kept)


@dataclass(slots=True)
class Guards:
    """What one run has used. `ends` is in the event loop's seconds."""

    limits: Limits
    ends: float
    steps: int = 0
    tool_calls: int = 0
    output_tokens: int = 0
    repeated: bool = False
    _seen: Counter[str] = field(default_factory=Counter)

    def stop(self, now: float) -> StoppedBy | None:
        """The limit that is reached, if one is: the model then gets one last turn, without tools."""
        if self.repeated:
            return "repeats"
        if self.steps >= self.limits.steps:
            return "steps"
        if self.tool_calls >= self.limits.tool_calls:
            return "tool_calls"
        if now >= self.ends:
            return "seconds"
        if self.output_tokens >= self.limits.output_tokens:
            return "output_tokens"
        return None

    def admit(self, fingerprint: str) -> str | None:
        """Counts a call that is about to run; or says, for the model to read, why it does not run."""
        if self.tool_calls >= self.limits.tool_calls:
            return "Not run: the limit of tool calls is reached. Answer with what you have."
        self._seen[fingerprint] += 1
        if self._seen[fingerprint] >= SAME_CALL_AT_MOST:
            self.repeated = True
            return "Not run: the same call was made before, with the same arguments. Answer with what you have."
        self.tool_calls += 1
        return None

    def tokens_left(self, *, last: bool) -> int:
        """Output tokens for the next turn; the last one gets some even when none are left."""
        return max(self.limits.output_tokens - self.output_tokens, LAST_ANSWER_TOKENS if last else LEAST_TOKENS)
