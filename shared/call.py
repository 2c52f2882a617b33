"""What is known of one request besides what it asks."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Spent:
    """What one request has cost in calls of models; it grows while the request lives.

    `turns` are the answers that were asked for, `attempts` the calls made for them, `waited` the seconds spent in
    queues and on cool-downs. `deployment` and `endpoint` tell where the last call went.
    """

    turns: int = 0
    attempts: int = 0
    waited: float = 0.0
    deployment: str | None = None
    endpoint: str | None = None

    @property
    def retries(self) -> int:
        """The calls that were made because others had failed."""
        return max(0, self.attempts - self.turns)


@dataclass(frozen=True, slots=True)
class Call:
    """One request of one caller. It lives as long as the request.

    `id` is in the answer and in the log. `deadline` is in the event loop's seconds. `caller` is who the platform says
    that it is, or None where it does not say.
    """

    id: str
    deadline: float
    caller: str | None = None
    spent: Spent = field(default_factory=Spent)
