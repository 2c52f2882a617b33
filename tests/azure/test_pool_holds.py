"""What holds whatever the deployments and the callers do: generated worlds, in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass

from hypothesis import event, given, settings
from hypothesis import strategies as st

from dev import virtual_time
from shared.azure.calls import Attempt, PoolRules
from shared.azure.outcomes import AttemptFailed, HealthChange, Kind, Report
from shared.errors import AppError
from shared.models import Deployment
from tests.azure.world import World


@dataclass(frozen=True)
class Behaviour:
    """What one call does after some seconds; `kind` is None for an answer."""

    seconds: float
    kind: Kind | None
    retry_after: float | None


@dataclass(frozen=True)
class Caller:
    """One request: when it comes after the one before, how long it may take, what becomes of its answer."""

    gap: float
    seconds: float
    reads: float
    interrupted: bool
    leaves_after: float | None


seconds = st.sampled_from([0.0, 0.001, 0.1, 1.0, 7.0, 29.0, 45.0])
behaviours = st.builds(
    Behaviour, seconds, st.sampled_from([None, None, *Kind]), st.sampled_from([None, 0.0, 0.5, 5.0, 90.0, 86_400.0])
)
callers = st.builds(
    Caller,
    st.sampled_from([0.0, 0.0, 0.01, 1.0, 30.0]),
    st.sampled_from([0.0, 0.5, 10.0, 60.0, 215.0, 215.0]),
    seconds,
    st.booleans(),
    st.sampled_from([None, None, None, 0.0, 0.05, 3.0]),
)
deployments = st.lists(
    st.builds(
        Deployment,
        name=st.sampled_from("abcd"),
        endpoint=st.just("https://one.openai.azure.com"),
        priority=st.integers(1, 2),
        weight=st.sampled_from([0.0, 1.0, 3.0]),
        tokens_per_minute=st.sampled_from([None, 1000]),
        requests_per_minute=st.sampled_from([None, 2]),
        kind=st.sampled_from(["standard", "provisioned"]),
        concurrency=st.sampled_from([None, 1, 2]),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda one: one.name,
)
rules = st.builds(
    PoolRules,
    concurrency=st.sampled_from([None, 2]),
    queue=st.sampled_from([0, 2, 100]),
    waiting=st.sampled_from([0, 2, 100]),
    most_calls=st.sampled_from([1, 6, 100]),
)


class Watched(World):
    """A world that checks each call as it begins."""

    def __init__(self, chosen: list[Deployment], rules: PoolRules, script: dict[str, list[Behaviour]]) -> None:
        super().__init__(*chosen, rules=rules, listener=self.hear)
        self.rules = rules
        self.script = script
        self.until: dict[Deployment, float] = defaultdict(float)
        self.places: Counter[str] = Counter()
        self.probes: Counter[str] = Counter()
        self.requests = 0
        self.made = 0
        self.retries = 0

    async def attempt(self, deployment: Deployment, details: Attempt) -> str:
        now, name = self.clock(), deployment.name
        assert deployment in self.model.deployments
        assert now < details.deadline
        assert now >= self.until[deployment], "called while it is to be left alone"
        probe = self.health(deployment).state == "probing"
        self.places[name] += 1
        self.probes[name] += probe
        self.made += 1
        self.retries += details.number > 1
        assert self.retries <= 10 + self.requests / 2
        assert details.number <= self.rules.most_calls
        assert self.places[name] <= (deployment.concurrency or 10**9)
        assert self.places.total() <= (self.rules.concurrency or 10**9)
        assert self.probes[name] <= 1
        try:
            steps = self.script.get(name)
            behaviour = steps.pop() if steps else Behaviour(0.1, None, None)
            await asyncio.sleep(behaviour.seconds)
            if behaviour.kind is not None:
                raise AttemptFailed(behaviour.kind, retry_after=behaviour.retry_after)
        except BaseException:
            self.places[name] -= 1
            raise
        finally:
            self.probes[name] -= probe
        return name

    def hear(self, report: Report) -> None:
        if isinstance(report, HealthChange):
            self.until[report.deployment] = max(self.until[report.deployment], self.clock() + report.seconds)

    async def one(self, caller: Caller) -> str:
        self.requests += 1
        started = self.clock()
        try:
            answer = await self.begin(seconds=caller.seconds, tokens=100)
        except AppError as error:
            return error.code
        except AttemptFailed as failed:
            return f"raised {failed.kind}"
        finally:
            assert self.clock() <= started + caller.seconds + 1e-6
        try:
            with answer:
                await asyncio.sleep(caller.reads)
                if caller.interrupted:
                    raise AttemptFailed(Kind.INTERRUPTED)
        except AttemptFailed:
            return "interrupted"
        finally:
            self.places[answer.value] -= 1
        return "answered"


@settings(max_examples=200, deadline=None)
@given(
    deployments,
    rules,
    st.dictionaries(st.sampled_from("abcd"), st.lists(behaviours, max_size=30)),
    st.lists(callers, min_size=1, max_size=40),
)
def test_in_every_world_the_pool_keeps_its_promises(
    chosen: list[Deployment], rules: PoolRules, script: dict[str, list[Behaviour]], callers: list[Caller]
) -> None:
    async def story() -> None:
        world = Watched(chosen, rules, {name: list(steps) for name, steps in script.items()})
        tasks = []
        for caller in callers:
            await asyncio.sleep(caller.gap)
            task = asyncio.create_task(world.one(caller))
            if caller.leaves_after is not None:
                asyncio.get_running_loop().call_later(caller.leaves_after, task.cancel)
            tasks.append(task)
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
                raise outcome
            event(str(outcome) or "left")
            assert not str(outcome).startswith("raised") or outcome == "raised bad_request"
        assert {one.in_flight for one in world.pool.health()} == {0}
        # Nothing that happened keeps the pool from serving again once all is well.
        await asyncio.sleep(200)
        world.script.clear()
        assert await world.ask() in {one.name for one in chosen}

    virtual_time.run(story())
