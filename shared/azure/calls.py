"""One call to a deployment: what the function that makes it is told, and the answer that it leads to."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from shared.azure.breaker import BreakerRules
from shared.azure.budget import RetryBudget
from shared.azure.choice import Lineup, Member
from shared.azure.minute import RateLimits
from shared.azure.outcomes import AttemptFailed, AttemptReport, HealthChange, Kind, Report
from shared.azure.places import Places
from shared.errors import UpstreamError, UpstreamRejected
from shared.models import Deployment

T = TypeVar("T")
log = logging.getLogger("app.pool")

_UNSPENT = {Kind.RATE_LIMITED, Kind.CONNECT_ERROR, Kind.FORBIDDEN, Kind.UNAUTHORIZED, Kind.NOT_FOUND}


@dataclass(frozen=True, slots=True)
class PoolRules:
    """The pool's limits. Times are in seconds.

    first_byte      how long a call may take to its first event, where `run` is not told otherwise
    fair_wait       a time-out counts against a deployment that had this long, or all of `first_byte`
    most_calls      calls that one request may cause
    retry_share     retries, as a share of the requests
    round_pause     longest pause before deployments that all failed a request are called again; doubles
    fault_patience  how long a request waits in all for deployments that are open because of faults
    least_call      a call is not worth waiting for when less than this would be left for it
    concurrency     calls at once in all (None: no limit); beyond it, or a deployment's own, requests queue
    queue           how many may queue for a place
    queue_wait      how long one request queues for a place
    waiting         how many may wait for the cool-down of each model's deployments
    """

    first_byte: float = 30.0
    fair_wait: float = 20.0
    most_calls: int = 6
    retry_share: float = 0.5
    round_pause: float = 0.2
    fault_patience: float = 10.0
    least_call: float = 1.0
    concurrency: int | None = None
    queue: int = 100
    queue_wait: float = 10.0
    waiting: int = 500
    breaker: BreakerRules = field(default_factory=BreakerRules)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call, as the function that makes it sees it.

    `first_byte` is the seconds it has until its first event; `deadline` when all must be over, on the
    pool's clock. `crossed` says that it goes to another resource than the preferred one, so that what is
    bound to that (encrypted reasoning) must be left out. `observe` takes the answer's headers (lower-case
    names), whatever its status.
    """

    number: int
    first_byte: float
    deadline: float
    crossed: bool
    observe: Callable[[Mapping[str, str]], None]


class Answer(Generic[T]):
    """An answer that has begun. It holds its place until it is left (`with answer: ...`) or `ended`.

    Leaving it by an AttemptFailed or an UpstreamError counts as an interruption by the deployment, by any other
    exception (the caller went away) as nothing. `calls` counts the calls it took, `waited` the seconds it waited in
    the pool.
    """

    def __init__(
        self,
        value: T,
        deployment: Deployment,
        *,
        crossed: bool,
        calls: int,
        waited: float,
        end: Callable[[bool | None, int | None], None],
    ) -> None:
        self.value = value
        self.deployment = deployment
        self.crossed = crossed
        self.calls = calls
        self.waited = waited
        self._end: Callable[[bool | None, int | None], None] | None = end
        self._tokens: int | None = None

    def used(self, tokens: int) -> None:
        """Tell how many tokens it used in all, in place of the estimate."""
        self._tokens = tokens

    def ended(self, *, complete: bool | None = True) -> None:
        """Give the place back, once. `complete` is False when interrupted, None when the caller left."""
        end, self._end = self._end, None
        if end is not None:
            end(complete, self._tokens)

    def __enter__(self) -> Answer[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.ended()
        else:
            interrupted = isinstance(error, AttemptFailed | UpstreamError) and not isinstance(error, UpstreamRejected)
            self.ended(complete=False if interrupted else None)


class Hear(Protocol):
    """Who is told what the other workers did: `Pool.hear`."""

    def __call__(
        self, key: str, *, cooling: float = 0.0, minute: int = -1, requests: int = 0, tokens: int = 0
    ) -> None: ...


class SharedState(Protocol):
    """What the other workers are told, and hear. Every method returns at once."""

    def listen(self, hear: Hear) -> None:
        """Say who is to hear of the other workers."""

    def spent(self, key: str, requests: int, tokens: int) -> None:
        """A call was sent, or (below zero) used less than was thought."""

    def cooling(self, key: str, seconds: float) -> None:
        """A deployment asked to be left alone."""


@dataclass(slots=True)
class Books:
    """What all requests of one pool have in common."""

    rules: PoolRules
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    random: Random
    budget: RetryBudget
    places: Places
    listener: Callable[[Report], None] | None = None
    shared: SharedState | None = None

    def report(self, report: Report) -> None:
        """Tell the listener, whose mistakes must not cost a request its answer."""
        if self.listener is None:
            return
        try:
            self.listener(report)
        except Exception as error:  # noqa: BLE001 - who listens must not end a caller's request
            log.error("A listener of the pool failed: %s", type(error).__name__)


class Call:
    """One call in the pool's books, from its start to its end."""

    def __init__(
        self, books: Books, lineup: Lineup, member: Member, tokens: int, waited: float, started: float
    ) -> None:
        self._books = books
        self._lineup = lineup
        self._tokens = tokens
        self._waited = waited
        self._started = started
        self.member = member
        self.leave = member.breaker.enter()
        self.number = 1
        self.crossed = False
        self._minute = member.minute.spend(started, tokens)
        if books.shared is not None:
            books.shared.spent(member.key, 1, tokens)

    def observe(self, headers: Mapping[str, str]) -> None:
        self.member.minute.observe(self._books.clock(), RateLimits.read(headers))

    def answered(self, value: T) -> Answer[T]:
        """The first event came."""
        if self.member.breaker.answered(self.leave):
            self._books.report(HealthChange(self.member.deployment, "ok", 0.0))
        self._report("ok")
        return Answer(
            value,
            self.member.deployment,
            crossed=self.crossed,
            calls=self.number,
            waited=self._waited,
            end=self._ended,
        )

    def dropped(self, outcome: str, status: int | None = None) -> None:
        """It ended in a way that says nothing about the deployment."""
        self.member.breaker.released(self.leave)
        self._books.places.give(self.member.lane)
        self._report(outcome, status)

    def failed(self, failure: AttemptFailed, *, counts: bool) -> None:
        """It failed before its first event. `counts` is False for a fault that says nothing new."""
        if failure.kind in _UNSPENT:
            self._correct(-self._tokens)
        self._blame(failure, counts=counts)
        self._books.places.give(self.member.lane)
        self._report(failure.kind, failure.status)

    def _ended(self, complete: bool | None, tokens: int | None) -> None:
        if complete:
            self.member.breaker.completed(self.leave, self._books.clock())
        elif complete is False:
            self._blame(AttemptFailed(Kind.INTERRUPTED), counts=True)
            self._report(Kind.INTERRUPTED)
        if tokens is not None:
            self._correct(tokens - self._tokens)
        self._books.places.give(self.member.lane)

    def _blame(self, failure: AttemptFailed, *, counts: bool) -> None:
        member, now = self.member, self._books.clock()
        member.last_failure = failure
        always = failure.kind in {Kind.RATE_LIMITED, Kind.FORBIDDEN, Kind.NOT_FOUND}
        if not counts and not always:
            member.breaker.released(self.leave)
            return
        alone = not any(other is not member and other.breaker.healthy(now) for other in self._lineup.members)
        if member.breaker.failed(self.leave, failure.kind, now, wait=failure.retry_after, alone=alone):
            seconds = member.breaker.next_try(now) - now
            self._books.report(HealthChange(member.deployment, str(member.breaker.reason), seconds))
            if failure.kind is Kind.RATE_LIMITED and self._books.shared is not None:
                self._books.shared.cooling(member.key, seconds)

    def _correct(self, tokens: int) -> None:
        known = self.member.minute.correct(self._books.clock(), self._minute, tokens)
        if known and self._books.shared is not None:
            self._books.shared.spent(self.member.key, 0, tokens)

    def _report(self, outcome: str, status: int | None = None) -> None:
        self._books.report(
            AttemptReport(
                model=self._lineup.model.name,
                deployment=self.member.deployment,
                outcome=str(outcome),
                status=status,
                ms=(self._books.clock() - self._started) * 1000,
                waited_ms=self._waited * 1000,
                number=self.number,
                probe=self.leave.probe,
                crossed=self.crossed,
            )
        )
