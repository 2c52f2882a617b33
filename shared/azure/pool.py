"""The one retry loop: which deployment now, and what happens when it does not answer.

    a request -> choose a deployment (choice) -> a place (places) -> one call -> its first event: an Answer
                    ^                                                   |
                    +--- the next deployment at once, within the retry budget (budget) and the deadline (trip)

Nothing is retried after the first event. A request waits only where every deployment of its model is cooling
down (breaker), and only as long as its deadline allows.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from shared.azure.breaker import Breaker
from shared.azure.budget import RetryBudget
from shared.azure.calls import Answer, Attempt, Books, PoolRules, SharedState
from shared.azure.choice import Lineup, Member
from shared.azure.minute import Minute
from shared.azure.outcomes import Report
from shared.azure.places import Places
from shared.azure.trip import Trip
from shared.models import Deployment, Model

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DeploymentHealth:
    """One deployment as the pool sees it now, for readiness and for people.

    `state` is "ok", "probing", or why it is not called: "rate_limited", "busy", "drained", "faults",
    "forbidden", "not_found"; `seconds` is the time until it is tried again. What is left of its minute is
    None where nothing limits it. `last_failure` is the kind of its last failure, also when all is well
    again.
    """

    name: str
    endpoint: str
    models: tuple[str, ...]
    state: str
    seconds: float
    in_flight: int
    tokens_left: int | None
    requests_left: int | None
    last_failure: str | None
    last_status: int | None


class Pool:
    """All deployments of all models, for one worker and its one event loop.

    `clock` (monotonic seconds) must run as the event loop's own does. `clock`, `sleep` and `random` are
    arguments so that hours can be simulated in moments; `wall` (seconds since the epoch) only places the
    minutes.
    """

    def __init__(
        self,
        models: Iterable[Model] = (),
        *,
        rules: PoolRules | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Random | None = None,
        listener: Callable[[Report], None] | None = None,
        shared: SharedState | None = None,
        most_unlisted: int = 256,
    ) -> None:
        rules = rules or PoolRules()
        self._books = Books(
            rules,
            clock,
            sleep,
            random or Random(),  # noqa: S311 - it spreads load, it guards nothing
            RetryBudget(rules.retry_share),
            Places(rules.concurrency, rules.queue),
            listener,
            shared,
        )
        self._offset = wall() - clock()
        self._turns = itertools.count()
        self._members: dict[tuple[str, str], Member] = {}
        self._most_unlisted = most_unlisted
        self._listed: dict[str, Lineup] = {}
        self._unlisted: dict[str, Lineup] = {}
        for model in models:
            self._listed[model.name] = self._line_up(model)
        if shared is not None:
            shared.listen(self.hear)

    async def run(
        self,
        model: Model,
        attempt: Callable[[Deployment, Attempt], Awaitable[T]],
        *,
        deadline: float,
        tokens: int = 0,
        first_byte: float | None = None,
        prefer: str | None = None,
        exclude: Collection[Deployment] = (),
    ) -> Answer[T]:
        """Call deployments of `model` until one answers, and return its answer as it begins.

        `attempt` makes one call up to its first event. It raises AttemptFailed or an UpstreamError, is cancelled after
        its `first_byte` seconds, and must then close what it opened. `deadline` is on the pool's clock. `tokens` is an
        estimate of what the request may use. `prefer` is the endpoint that it is bound to, `exclude` the deployments
        that it must not use.

        Raises:
            UpstreamError: no deployment answered; RateLimited, NoDeploymentAvailable and others say why.
            Overloaded: this app serves as many requests as it may.
            Exception: the `error` of a bad request, and whatever else `attempt` raises; it counts against none.
        """
        self._books.budget.request(self._books.clock())
        trip: Trip[T] = Trip(
            self._books,
            self._lineup(model),
            turn=next(self._turns),
            deadline=deadline,
            tokens=tokens,
            first_byte=first_byte,
            prefer=prefer,
            exclude=exclude,
        )
        return await trip.go(attempt)

    def health(self) -> tuple[DeploymentHealth, ...]:
        """Tell how every deployment is."""
        now = self._books.clock()
        lineups = [*self._listed.values(), *self._unlisted.values()]
        return tuple(self._health(member, lineups, now) for member in self._members.values())

    def hear(self, key: str, *, cooling: float = 0.0, minute: int = -1, requests: int = 0, tokens: int = 0) -> None:
        """Learn from other workers: seconds to leave a deployment alone, and what they sent in a minute."""
        now = self._books.clock()
        endpoint, _, name = key.rpartition("|")
        member = self._members.get((endpoint, name))
        if member is not None:
            if cooling > 0:
                member.breaker.cool(now, cooling)
            member.minute.others(now, minute, requests, tokens)

    def _health(self, member: Member, lineups: Collection[Lineup], now: float) -> DeploymentHealth:
        breaker, left, failure = member.breaker, member.minute.left(now), member.last_failure
        seconds = breaker.next_try(now) - now
        state = "ok" if breaker.healthy(now) else "probing" if seconds <= 0 else str(breaker.reason)
        return DeploymentHealth(
            name=member.deployment.name,
            endpoint=member.endpoint,
            models=tuple(lineup.model.name for lineup in lineups if member in lineup.members),
            state=state,
            seconds=seconds,
            in_flight=member.lane.busy,
            tokens_left=int(left.tokens) if left.tokens < math.inf else None,
            requests_left=int(left.requests) if left.requests < math.inf else None,
            last_failure=None if failure is None else failure.kind.value,
            last_status=None if failure is None else failure.status,
        )

    def _lineup(self, model: Model) -> Lineup:
        lineup = self._listed.get(model.name) or self._unlisted.get(model.name)
        if lineup is None or (lineup.model is not model and lineup.model != model):
            lineup = self._unlisted[model.name] = self._line_up(model)
            self._forget()
        return lineup

    def _line_up(self, model: Model) -> Lineup:
        members: list[Member] = []
        for deployment in model.deployments:
            key = (deployment.endpoint, deployment.name)
            if key not in self._members:
                breaker = Breaker(self._books.rules.breaker, self._books.random)
                minute = Minute(deployment.tokens_per_minute, deployment.requests_per_minute, self._offset)
                self._members[key] = Member(deployment, breaker, minute)
            if self._members[key] not in members:
                members.append(self._members[key])
        return Lineup(model, members)

    def _forget(self) -> None:
        """Names that are only passed through come from callers: keep the latest of them."""
        if len(self._unlisted) <= self._most_unlisted:
            return
        del self._unlisted[next(iter(self._unlisted))]
        lineups = [*self._listed.values(), *self._unlisted.values()]
        used = {member for lineup in lineups for member in lineup.members}
        for key, member in list(self._members.items()):
            if member not in used and member.lane.busy == 0:
                del self._members[key]
