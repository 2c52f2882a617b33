"""What is known of one request besides what it asks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """One request of one caller. It lives as long as the request.

    `id` is in the answer and in the log. `deadline` is in the event loop's seconds. `caller` is who the platform says
    that it is, or None where it does not say.
    """

    id: str
    deadline: float
    caller: str | None = None
