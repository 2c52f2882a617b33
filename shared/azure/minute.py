"""What is left of a deployment's minute: its configured limits, what was sent, and what its answers say."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

MINUTE = 60.0
REQUESTS_SPAN = 10.0
"""Azure counts requests in spans of about ten seconds: of 120 a minute it shows 19 left after the first."""

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")


class RateLimits(NamedTuple):
    """The `x-ratelimit-*` headers of one answer; None for what it does not say. Resets are in seconds."""

    tokens: int | None
    requests: int | None
    tokens_reset: float | None
    requests_reset: float | None

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> RateLimits:
        """Read the headers (lower-case names). Azure at times sends -1, or limits of 0: that says nothing."""
        return cls(
            _left(headers, "tokens"),
            _left(headers, "requests"),
            _seconds(headers.get("x-ratelimit-reset-tokens")),
            _seconds(headers.get("x-ratelimit-reset-requests")),
        )


class Left(NamedTuple):
    """What may still be sent; infinite where nothing is known. `part` is the share of the minute left, 0 to 1."""

    tokens: float
    requests: float
    part: float


_UNKNOWN = Left(math.inf, math.inf, 1.0)


class Minute:
    """One deployment's minute.

    Times are in seconds on the pool's clock, moved by `offset` to the wall's, so that several workers which
    share their counts mean the same minute.
    """

    __slots__ = (
        "_left",
        "_left_until",
        "_minute",
        "_offset",
        "_others",
        "_request_limit",
        "_requests",
        "_seen_requests",
        "_seen_requests_until",
        "_seen_tokens",
        "_seen_tokens_until",
        "_token_limit",
        "_tokens",
    )

    def __init__(self, token_limit: int | None, request_limit: int | None, offset: float = 0.0) -> None:
        self._token_limit = token_limit or math.inf
        self._request_limit = request_limit or math.inf
        self._offset = offset
        self._minute = -1
        self._tokens = 0
        self._requests = 0
        self._others = (0, 0)
        self._seen_tokens = self._seen_requests = math.inf
        self._seen_tokens_until = self._seen_requests_until = 0.0
        self._left = _UNKNOWN
        self._left_until = -math.inf

    def left(self, now: float) -> Left:
        """Tell what may still be sent."""
        # The choice asks every deployment, and most of them have not been called since it last asked.
        if now >= self._left_until:
            self._left = self._reckon(now)
        return self._left

    def _reckon(self, now: float) -> Left:
        self._turn(now)
        ends = [(self._minute + 1) * MINUTE - self._offset, self._seen_tokens_until, self._seen_requests_until]
        self._left_until = min(end for end in ends if end > now)
        seen_tokens = self._seen_tokens if now < self._seen_tokens_until else math.inf
        seen_requests = self._seen_requests if now < self._seen_requests_until else math.inf
        token_limit, request_limit = self._token_limit, self._request_limit
        if token_limit == request_limit == seen_tokens == seen_requests == math.inf:
            return _UNKNOWN
        other_requests, other_tokens = self._others
        tokens = max(0.0, min(token_limit - self._tokens - other_tokens, seen_tokens))
        requests = max(0.0, min(request_limit - self._requests - other_requests, seen_requests))
        part = min(
            1.0,
            tokens / token_limit if token_limit < math.inf else 1.0,
            requests / request_limit if request_limit < math.inf else 1.0,
        )
        return Left(tokens, requests, part)

    def spend(self, now: float, tokens: int) -> int:
        """A call is sent that may use as many tokens. Return the minute that it counts in."""
        self._turn(now)
        self._tokens += tokens
        self._requests += 1
        self._seen_tokens -= tokens
        self._seen_requests -= 1
        self._left_until = -math.inf
        return self._minute

    def correct(self, now: float, minute: int, tokens: int) -> bool:
        """A call used this many tokens more (or, below zero, fewer) than was thought; False if its minute is over."""
        self._turn(now)
        if minute == self._minute:
            self._tokens = max(0, self._tokens + tokens)
            self._left_until = -math.inf
        return minute == self._minute

    def observe(self, now: float, limits: RateLimits) -> None:
        """An answer said what is left."""
        self._left_until = -math.inf
        if limits.tokens is not None:
            self._seen_tokens = limits.tokens
            self._seen_tokens_until = now + min(limits.tokens_reset or MINUTE, MINUTE)
        if limits.requests is not None:
            self._seen_requests = limits.requests
            self._seen_requests_until = now + min(limits.requests_reset or REQUESTS_SPAN, MINUTE)

    def others(self, now: float, minute: int, requests: int, tokens: int) -> None:
        """Other workers sent so much in the given minute of the wall clock."""
        self._turn(now)
        if minute == self._minute:
            self._others = (requests, tokens)
            self._left_until = -math.inf

    def _turn(self, now: float) -> None:
        minute = int((now + self._offset) // MINUTE)
        if minute != self._minute:
            self._minute = minute
            self._tokens = self._requests = 0
            self._others = (0, 0)


def _left(headers: Mapping[str, str], what: str) -> int | None:
    left = headers.get(f"x-ratelimit-remaining-{what}", "")
    limit = headers.get(f"x-ratelimit-limit-{what}", "1")
    known = left.isdecimal() and len(left) < 16 and limit.isdecimal() and limit.strip("0")
    return int(left) if known else None


def _seconds(value: str | None) -> float | None:
    """Read "1s", "6m0s", "120ms" or a bare number of seconds. Zero says nothing."""
    if not value or len(value) > 32:
        return None
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value) or None
    match = _DURATION.fullmatch(value)
    if match is None:
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000 or None
