"""What may befall deployments in the simulation: quotas, 429 storms, outages, hangs, slow starts, random faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from shared.azure.breaker import BreakerRules
from shared.azure.calls import PoolRules
from shared.models import Deployment

Spans = Sequence[tuple[float, float]]
"""Times, in seconds from the start, during which something lasts."""


@dataclass(frozen=True)
class Upstream:
    """How one deployment behaves. `faults` is the chance of one, for each call; `per_minute` its real quota."""

    deployment: Deployment
    faults: float = 0.0
    per_minute: int | None = None
    storms: Spans = ()
    outages: Spans = ()
    hangs: Spans = ()
    slow: Spans = ()


@dataclass(frozen=True)
class Scenario:
    """Some deployments, and how many requests come to them, how many a second."""

    name: str
    upstreams: tuple[Upstream, ...]
    requests: int
    rate: float = 10.0
    rules: PoolRules = field(default_factory=PoolRules)


Change = Callable[[Upstream, Random], Upstream]
"""What befalls a deployment."""


def four(change: Change | None = None, seed: int = 7) -> tuple[Upstream, ...]:
    """A provisioned deployment, two standard ones beside it, a distant one for when they can't; each is changed."""
    random = Random(seed)  # noqa: S311 - it simulates, it guards nothing
    resources = [f"https://{region}.openai.azure.com" for region in ("east", "east", "west", "north")]
    deployments = (
        Deployment("provisioned", resources[0], priority=1, kind="provisioned"),
        Deployment("east", resources[1], priority=1, requests_per_minute=300),
        Deployment("west", resources[2], priority=1, requests_per_minute=300),
        Deployment("north", resources[3], priority=2, requests_per_minute=900),
    )
    quotas = 240, 300, 300, 900
    upstreams = (Upstream(one, per_minute=quota) for one, quota in zip(deployments, quotas, strict=True))
    return tuple(upstream if change is None else change(upstream, random) for upstream in upstreams)


def two(faults: float) -> tuple[Upstream, ...]:
    """Two equal deployments whose calls fail at random."""
    return tuple(Upstream(Deployment(name, f"https://{name}.openai.azure.com"), faults) for name in ("one", "two"))


def storms(upstream: Upstream, random: Random, every: float = 300) -> Upstream:
    """Most calls get a 429 for half a minute to two."""
    return replace(upstream, storms=_spans(random, every, 30, 120))


def outages(upstream: Upstream, random: Random, every: float = 1200) -> Upstream:
    """Every call fails for half a minute to five; at other times nothing is answered for 20 to 60 seconds."""
    return replace(upstream, outages=_spans(random, every, 30, 300), hangs=_spans(random, 2 * every, 20, 60))


def slow(upstream: Upstream, random: Random, every: float = 600) -> Upstream:
    """First events take 25 times as long for one to four minutes."""
    return replace(upstream, slow=_spans(random, every, 60, 240))


def everything(upstream: Upstream, random: Random) -> Upstream:
    """All of these, and faults at random."""
    upstream = outages(storms(upstream, random, 900), random, 2400)
    return replace(slow(upstream, random, 1800), faults=0.02)


def down(upstream: Upstream, _: Random) -> Upstream:
    """Every call fails."""
    return replace(upstream, outages=[(0, float("inf"))])


def _spans(random: Random, every: float, shortest: float, longest: float) -> Spans:
    found, now = [], random.uniform(0, every)
    while now < 20_000:
        length = random.uniform(shortest, longest)
        found.append((now, now + length))
        now += length + random.expovariate(1 / every)
    return found


NO_BREAKERS = PoolRules(breaker=BreakerRules(in_a_row=10**9, in_a_row_alone=10**9, least_in_window=10**9))


def scenarios(scale: float = 1.0) -> list[Scenario]:
    """All scenarios; `scale` makes them smaller."""
    size, large = int(20_000 * scale), int(100_000 * scale)
    return [
        Scenario("calm", four(), size),
        Scenario("two deployments, each failing 20 % of its calls", two(0.2), large),
        Scenario("the same, one request in 5 s", two(0.2), size // 4, rate=0.2),
        Scenario("one deployment, failing 20 % of its calls", two(0.2)[:1], size),
        Scenario("429 storms", four(storms), size),
        Scenario("outages and hangs", four(outages), size),
        Scenario("slow starts", four(slow), size),
        Scenario("all of it, and 2 % faults", four(everything), large),
        Scenario("full outage of all four", four(down), size),
        Scenario("full outage, were there no breakers", four(down), size, rules=NO_BREAKERS),
    ]
