"""Which deployment of a model to call: by priority, then by chance and by what is left of its minute."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from random import Random

from shared.azure.breaker import Breaker
from shared.azure.minute import Left, Minute
from shared.azure.outcomes import AttemptFailed
from shared.azure.places import Lane, Places
from shared.models import Deployment, Model


class Member:
    """A deployment with all that the pool knows of it, whichever models it serves."""

    __slots__ = ("breaker", "deployment", "endpoint", "key", "lane", "last_failure", "minute")

    def __init__(self, deployment: Deployment, breaker: Breaker, minute: Minute) -> None:
        self.deployment = deployment
        self.endpoint = deployment.endpoint
        self.key = f"{deployment.endpoint}|{deployment.name}"
        self.breaker = breaker
        self.minute = minute
        self.lane = Lane(deployment.concurrency)
        self.last_failure: AttemptFailed | None = None


class Lineup:
    """The members that serve one model, in tiers: low priority numbers first, provisioned before standard.

    Priority and weight are the model's: another model may have the same deployment with others.
    """

    def __init__(self, model: Model, members: Sequence[Member]) -> None:
        self.model = model
        self.members = tuple(members)
        self.waiting = 0
        listed = {(one.endpoint, one.name): one for one in model.deployments}
        tiers: dict[tuple[int, bool], list[Member]] = {}
        self._weights: dict[Member, float] = {}
        for member in members:
            here = listed[member.endpoint, member.deployment.name]
            tiers.setdefault((here.priority, here.kind != "provisioned"), []).append(member)
            self._weights[member] = here.weight
        self._tiers = [tiers[rank] for rank in sorted(tiers)]

    def choose(
        self,
        now: float,
        places: Places,
        random: Random,
        *,
        tokens: int = 0,
        skip: Collection[Member] = (),
        prefer: str | None = None,
    ) -> Member | None:
        """Choose a member that is ready and has a place; None when there is none.

        Those at the endpoint `prefer` come before all others. A member whose minute seems used up (no request
        left, or fewer than `tokens`) comes after all others: that is our estimate, only a 429 is certain.
        """
        if prefer is not None:
            at_home = [member for member in self.members if member.endpoint == prefer]
            ready = _ready(at_home, now, places, skip)
            if ready:
                return self._draw(ready, [member.minute.left(now) for member in ready], random)
        spent: list[Member] = []
        for tier in self._tiers:
            fresh, lefts = [], []
            for member in _ready(tier, now, places, skip):
                left = member.minute.left(now)
                if left.requests >= 1 and left.tokens >= tokens and left.tokens > 0:
                    fresh.append(member)
                    lefts.append(left)
                else:
                    spent.append(member)
            if fresh:
                return self._draw(fresh, lefts, random)
        return spent[0] if spent else None

    def _draw(self, members: Sequence[Member], lefts: Sequence[Left], random: Random) -> Member:
        """Draw one: by the tokens left where all of them are known, else by the share of the minute left."""
        if len(members) == 1:
            return members[0]
        known, weights = max(left.tokens for left in lefts) < math.inf, self._weights
        shares = [
            weights[member] * (left.tokens if known else left.part) for member, left in zip(members, lefts, strict=True)
        ]
        if not any(shares):
            return random.choice(members)
        point, place = random.random() * sum(shares), 0
        while point >= shares[place]:
            point -= shares[place]
            place = (place + 1) % len(shares)
        return members[place]


def _ready(members: Sequence[Member], now: float, places: Places, skip: Collection[Member]) -> list[Member]:
    # The time is compared here too: it rules most of them out at the least cost.
    return [
        member
        for member in members
        if now >= member.breaker.until
        and member.breaker.ready(now)
        and places.free(member.lane)
        and not (skip and member in skip)
    ]
