"""One request's way through the pool: find a deployment, call it, until an answer begins or time is up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Generic, TypeVar

from shared.azure.breaker import Reason
from shared.azure.calls import Answer, Attempt, Books, Call
from shared.azure.choice import Lineup, Member
from shared.azure.outcomes import AttemptFailed, Kind
from shared.azure.places import QueueFull
from shared.errors import (
    AppError,
    DeploymentNotFound,
    NoDeploymentAvailable,
    Overloaded,
    RateLimited,
    UpstreamError,
    UpstreamForbidden,
    UpstreamInterrupted,
    UpstreamTimeout,
    UpstreamUnauthorized,
    UpstreamUnavailable,
)
from shared.models import Deployment

T = TypeVar("T")

_LAST = {Kind.TIMEOUT: UpstreamTimeout, Kind.INTERRUPTED: UpstreamInterrupted}
_POLL = 0.2
_MOMENT = 0.001
_WAITED_FOR = {Reason.RATE_LIMITED, Reason.BUSY}


class Trip(Generic[T]):
    """One request. `turn` is its rank among those that queue; the other arguments are those of `Pool.run`."""

    def __init__(
        self,
        books: Books,
        lineup: Lineup,
        *,
        turn: int,
        deadline: float,
        tokens: int,
        first_byte: float | None,
        prefer: str | None,
        exclude: Collection[Deployment],
    ) -> None:
        self._books = books
        self._lineup = lineup
        self._turn = turn
        self._deadline = deadline
        self._tokens = tokens
        self._first_byte = books.rules.first_byte if first_byte is None else first_byte
        self._prefer = prefer
        self._members = [member for member in lineup.members if member.deployment not in exclude]
        self._excluded = [member for member in lineup.members if member.deployment in exclude]
        self._round: list[Member] = []
        self._rounds = 0
        self._blamed: list[Member] = []
        self._last: AttemptFailed | None = None
        self._calls = 0
        self._waited = 0.0
        self._queued = 0.0
        self._patience = books.rules.fault_patience

    async def go(self, attempt: Callable[[Deployment, Attempt], Awaitable[T]]) -> Answer[T]:
        """Make calls until one is answered. Raises: what `Pool.run` raises."""
        while True:
            answer = await self._call(await self._find(), attempt)
            if answer is not None:
                return answer

    async def _find(self) -> Member:
        """Find a member that may be called now, with a place taken there."""
        books = self._books
        while True:
            now = books.clock()
            self._check(now)
            member = self._choose(now, [*self._excluded, *self._round])
            if member is not None:
                books.places.take(member.lane)
                return member
            if self._round:
                await self._next_round(now)
                continue
            full = [member for member in self._members if member.breaker.ready(now)]
            if not full:
                await self._wait(now)
            elif (member := await self._queue(now, full)) is not None:
                return member

    def _choose(self, now: float, skip: Collection[Member]) -> Member | None:
        books = self._books
        return self._lineup.choose(now, books.places, books.random, tokens=self._tokens, skip=skip, prefer=self._prefer)

    def _check(self, now: float) -> None:
        spent = self._calls >= self._books.rules.most_calls
        if self._late(now) or spent or (self._calls and not self._books.budget.allows()):
            raise self._refusal(now)

    def _late(self, now: float) -> bool:
        return now > self._deadline - _MOMENT

    async def _next_round(self, now: float) -> None:
        """All that can be called have failed this request: begin anew, after a short pause by chance."""
        self._round.clear()
        self._rounds += 1
        pause = self._books.random.random() * self._books.rules.round_pause * 2 ** (self._rounds - 1)
        if self._choose(now, self._excluded) is not None and now + pause < self._deadline:
            await self._books.sleep(pause)
            self._waited += pause

    async def _queue(self, now: float, full: list[Member]) -> Member | None:
        """Queue for a place; None when the choice must be made again."""
        books = self._books
        seconds = min(books.rules.queue_wait - self._queued, self._deadline - now)
        if seconds < _MOMENT:
            raise self._overloaded()
        for member in self._members:
            if member not in full:
                seconds = min(seconds, max(_POLL, member.breaker.next_try(now) - now))
        try:
            lane = await books.places.wait([member.lane for member in full], self._turn, seconds)
        except QueueFull:
            raise self._overloaded() from None
        later = books.clock()
        self._queued += later - now
        self._waited += later - now
        if lane is None:
            return None
        member = next(member for member in full if member.lane is lane)
        try:
            self._check(later)
        except AppError:
            books.places.give(lane)
            raise
        if member.breaker.ready(later):
            return member
        books.places.give(lane)
        return None

    async def _wait(self, now: float) -> None:
        """All are cooling down: wait for the first to come back, if that is worth it."""
        books, lineup = self._books, self._lineup
        first: tuple[float, Reason] | None = None
        for member in self._members:
            seconds, reason = member.breaker.next_try(now) - now or _POLL, member.breaker.reason
            worth = reason in _WAITED_FOR or (reason is Reason.FAULTS and seconds <= self._patience)
            if worth and reason is not None and (first is None or seconds < first[0]):
                first = seconds, reason
        if first is None or now + first[0] + books.rules.least_call > self._deadline:
            raise self._refusal(now)
        if lineup.waiting >= books.rules.waiting:
            raise self._refusal(now)
        seconds, reason = first
        seconds += books.random.random() * min(1.0, 0.1 + 0.1 * seconds)
        lineup.waiting += 1
        try:
            await books.sleep(seconds)
        finally:
            lineup.waiting -= 1
        self._waited += seconds
        if reason is Reason.FAULTS:
            self._patience -= seconds

    async def _call(self, member: Member, attempt: Callable[[Deployment, Attempt], Awaitable[T]]) -> Answer[T] | None:
        """Make one call; None when it failed in a way that another deployment may cure."""
        books = self._books
        started = books.clock()
        call = Call(books, self._lineup, member, self._tokens, self._waited, started)
        self._calls += 1
        if self._calls > 1:
            books.budget.retry()
        seconds = min(self._first_byte, self._deadline - started)
        call.number = self._calls
        call.crossed = self._prefer is not None and member.endpoint != self._prefer
        details = Attempt(self._calls, seconds, self._deadline, call.crossed, call.observe)
        try:
            async with asyncio.timeout(seconds) as scope:
                value = await attempt(member.deployment, details)
        except AttemptFailed as failed:
            failure = failed
        except UpstreamError as error:
            failure = AttemptFailed.of(error)
        except TimeoutError:
            if not scope.expired():
                call.dropped("error")
                raise
            failure = AttemptFailed(Kind.TIMEOUT)
        except BaseException as error:
            call.dropped("cancelled" if isinstance(error, asyncio.CancelledError) else "error")
            raise
        else:
            return call.answered(value)
        if failure.kind is Kind.BAD_REQUEST:
            call.dropped(failure.kind, failure.status)
            raise failure.error or failure
        fair = failure.kind is not Kind.TIMEOUT or seconds >= min(self._first_byte, books.rules.fair_wait)
        call.failed(failure, counts=fair and (call.leave.probe or member not in self._blamed))
        self._blamed.append(member)
        self._round.append(member)
        self._last = failure
        if failure.kind is Kind.UNAUTHORIZED:
            # A new token was tried already: to ask the same resource again would not help this request.
            self._members.remove(member)
            self._excluded.append(member)
        return None

    def _overloaded(self) -> AppError:
        return Overloaded(retry_after=1 + 2 * self._books.random.random())

    def _refusal(self, now: float) -> AppError:
        """Say why there is no answer, with the smallest time after which a new try makes sense."""
        blocked = [member.breaker for member in self._members if not member.breaker.ready(now)]
        kinds: set[str] = set() if self._last is None else {self._last.kind}
        retry_after = 1.0
        if blocked and len(blocked) == len(self._members):
            kinds |= {breaker.reason for breaker in blocked if breaker.reason is not None}
            retry_after = max(1.0, round(min(breaker.next_try(now) - now for breaker in blocked), 1))
        last = self._last
        error: AppError
        if self._late(now):
            error = UpstreamTimeout(retry_after=retry_after)
        elif kinds & {Kind.RATE_LIMITED, Reason.DRAINED}:
            error = RateLimited(retry_after=retry_after)
        elif kinds == {Kind.NOT_FOUND}:
            error = DeploymentNotFound()
        elif kinds == {Kind.UNAUTHORIZED}:
            error = UpstreamUnauthorized()
        elif kinds and kinds <= {Kind.FORBIDDEN, Kind.UNAUTHORIZED, Kind.NOT_FOUND}:
            error = UpstreamForbidden(retry_after=retry_after)
        elif last is None:
            error = NoDeploymentAvailable(retry_after=retry_after)
        else:
            error = _LAST.get(last.kind, UpstreamUnavailable)(retry_after=retry_after)
        error.__cause__ = last
        return error
