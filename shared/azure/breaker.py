"""Whether a deployment may be called now: cool-down, open, one probe, closed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import NamedTuple

from shared.azure.budget import Tally
from shared.azure.outcomes import Kind


class Reason(StrEnum):
    """Why a deployment is not called."""

    RATE_LIMITED = "rate_limited"
    BUSY = "busy"
    DRAINED = "drained"
    FAULTS = "faults"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When a deployment is taken out of service, and for how long. Times are in seconds.

    The `alone` values hold for a deployment which no other can stand in for: taking it out helps no one
    unless it is plainly down, so luck must not do it (20 in a row by chance: 1 in 10^14 at 20 % faults).
    """

    in_a_row: int = 5
    in_a_row_alone: int = 20
    window: float = 30.0
    least_in_window: int = 10
    open_for: float = 5.0
    open_for_alone: float = 1.0
    longest_open: float = 30.0
    long_open: float = 60.0
    absurd: float = 120.0
    least_cool_down: float = 0.2
    longest_guess: float = 30.0


class Pass(NamedTuple):
    """Leave to make one call, to be handed back with its outcome."""

    generation: int
    probe: bool


class Breaker:
    """One deployment's state.

    After a 429 it is left alone until `until`. When it is open (faults, drained, forbidden, not found) one
    call at a time goes through after `until`, until one is answered. Outcomes of calls that began before
    the last change of state say nothing about the present one, and are ignored.
    """

    __slots__ = (
        "_faults_in_a_row",
        "_generation",
        "_limited_in_a_row",
        "_opened_in_a_row",
        "_outcomes",
        "_probe_out",
        "_random",
        "_rules",
        "open",
        "reason",
        "until",
    )

    def __init__(self, rules: BreakerRules, random: Random) -> None:
        self._rules = rules
        self._random = random
        self._outcomes = Tally(rules.window)
        self._generation = 0
        self._probe_out = False
        self._faults_in_a_row = 0
        self._limited_in_a_row = 0
        self._opened_in_a_row = 0
        self.open = False
        self.until = 0.0
        self.reason: Reason | None = None

    def ready(self, now: float) -> bool:
        """Say whether a call may be made now."""
        return now >= self.until and not (self.open and self._probe_out)

    def healthy(self, now: float) -> bool:
        """Say whether it takes traffic, not only a probe."""
        return now >= self.until and not self.open

    def next_try(self, now: float) -> float:
        """Tell when it can be called; `now` may be returned while a probe is out."""
        return max(self.until, now)

    def enter(self) -> Pass:
        """Take leave for one call; the breaker must be ready."""
        probe = self.open
        self._probe_out = self._probe_out or probe
        return Pass(self._generation, probe)

    def answered(self, leave: Pass) -> bool:
        """The first event came. True if that brought the deployment back into service."""
        if leave.generation != self._generation:
            return False
        self._faults_in_a_row = self._limited_in_a_row = 0
        if not leave.probe:
            return False
        self._close()
        return True

    def completed(self, leave: Pass, now: float) -> None:
        """The answer came to its end."""
        if leave.generation == self._generation:
            self._outcomes.add(now, first=1)

    def released(self, leave: Pass) -> None:
        """The call ended and says nothing about the deployment: a bad request, or the caller left."""
        if leave.probe and leave.generation == self._generation:
            self._probe_out = False

    def failed(self, leave: Pass, kind: Kind, now: float, *, wait: float | None = None, alone: bool = False) -> bool:
        """The call failed; `wait` is the upstream's Retry-After in seconds. True if the state changed."""
        if kind is Kind.RATE_LIMITED:
            return self._limited(leave, now, wait)
        if leave.generation != self._generation:
            return False
        if kind is Kind.FORBIDDEN:
            return self._take_out(now, Reason.FORBIDDEN, self._rules.long_open)
        if kind is Kind.NOT_FOUND:
            return self._take_out(now, Reason.NOT_FOUND, self._rules.long_open)
        self._faults_in_a_row += 1
        self._outcomes.add(now, second=1)
        if leave.probe or self._too_many(alone):
            first = self._rules.open_for_alone if alone else self._rules.open_for
            seconds = min(self._rules.longest_open, first * 2.0**self._opened_in_a_row)
            self._opened_in_a_row = min(self._opened_in_a_row + 1, 16)
            seconds *= 0.8 + 0.4 * self._random.random()
            return self._take_out(now, Reason.FAULTS, max(seconds, min(wait or 0.0, self._rules.long_open)))
        if wait:
            self.cool(now, wait, Reason.BUSY)
        return False

    def cool(self, now: float, seconds: float, reason: Reason = Reason.RATE_LIMITED) -> None:
        """Leave the deployment alone for some seconds (bounded), on its own word or on another worker's."""
        until = now + min(seconds, self._rules.absurd)
        if until > self.until:
            self.until = until
            if not self.open:
                self.reason = reason

    def _limited(self, leave: Pass, now: float, wait: float | None) -> bool:
        if leave.probe and leave.generation == self._generation:
            self._close()
        if wait is not None and wait > self._rules.absurd:
            if self.open and self.reason is Reason.DRAINED:
                return False
            return self._take_out(now, Reason.DRAINED, self._rules.long_open)
        fresh = now >= self.until
        if fresh:
            self._limited_in_a_row = min(self._limited_in_a_row + 1, 16)
        if wait is None:
            wait = min(self._rules.longest_guess, 2.0 ** (self._limited_in_a_row - 1))
        self.cool(now, max(wait, self._rules.least_cool_down))
        return fresh

    def _too_many(self, alone: bool) -> bool:
        rules, outcomes = self._rules, self._outcomes
        if alone:
            return self._faults_in_a_row >= rules.in_a_row_alone
        if self._faults_in_a_row >= rules.in_a_row:
            return True
        count = outcomes.first + outcomes.second
        return count >= rules.least_in_window and outcomes.second * 2 >= count

    def _take_out(self, now: float, reason: Reason, seconds: float) -> bool:
        self._generation += 1
        self._probe_out = False
        self.open = True
        self.reason = reason
        self.until = max(self.until, now + seconds)
        return True

    def _close(self) -> None:
        self._generation += 1
        self._probe_out = self.open = False
        self._faults_in_a_row = self._limited_in_a_row = self._opened_in_a_row = 0
        self._outcomes.clear()
        self.reason = None
