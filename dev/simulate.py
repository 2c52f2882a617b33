"""`python -m dev simulate`: hours of traffic through the pool in moments, while deployments fail in every way.

The pool and its loop are the real ones; only the upstream and the time are simulated. Everything is seeded.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median

from dev import virtual_time
from dev.scenarios import Scenario, Spans, Upstream, scenarios
from shared.azure.breaker import Breaker, BreakerRules
from shared.azure.calls import Attempt
from shared.azure.choice import Lineup, Member
from shared.azure.minute import Minute
from shared.azure.outcomes import AttemptFailed, AttemptReport, HealthChange, Kind, Report
from shared.azure.places import Places
from shared.azure.pool import Pool
from shared.errors import AppError
from shared.models import Deployment, Model

DEADLINE = 215.0
MARKERS = "<!-- simulation -->", "<!-- /simulation -->"


@dataclass
class Result:
    """What came of a scenario. Times are in seconds; `added` is what the pool added before each first event."""

    scenario: Scenario
    seconds: float = 0.0
    succeeded: int = 0
    calls: int = 0
    retries: int = 0
    added: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    openings: int = 0
    all_open: int = 0
    left_over: int = 0

    @property
    def success(self) -> float:
        """The share of requests whose answer began within the deadline."""
        return self.succeeded / self.scenario.requests

    @property
    def calls_per_request(self) -> float:
        return self.calls / self.scenario.requests

    def added_at(self, part: float) -> float:
        """The added time that this part of the successful requests stayed within."""
        return sorted(self.added)[min(len(self.added) - 1, int(len(self.added) * part))] if self.added else 0.0


class Simulated:
    """One scenario in progress."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.result = Result(scenario)
        self._random = Random(seed)  # noqa: S311 - it simulates, it guards nothing
        self._upstreams = {upstream.deployment: upstream for upstream in scenario.upstreams}
        self._sent: Counter[tuple[str, int]] = Counter()
        self._model = Model("chat", tuple(self._upstreams))
        self._open: set[str] = set()
        self._clock = asyncio.get_running_loop().time
        self._pool = Pool(
            [self._model],
            rules=scenario.rules,
            clock=self._clock,
            wall=self._clock,
            random=Random(seed + 1),  # noqa: S311 - it simulates, it guards nothing
            listener=self._hear,
        )

    async def run(self) -> Result:
        scenario = self.result.scenario
        async with asyncio.TaskGroup() as group:
            for _ in range(scenario.requests):
                await asyncio.sleep(self._random.expovariate(scenario.rate))
                group.create_task(self._request())
        self.result.seconds = self._clock()
        self.result.left_over = sum(one.in_flight for one in self._pool.health())
        return self.result

    async def _request(self) -> None:
        arrived = self._clock()
        began = [0.0]

        async def attempt(deployment: Deployment, _: Attempt) -> float:
            began[0] = self._clock()
            return await self._call(self._upstreams[deployment])

        try:
            answer = await self._pool.run(self._model, attempt, deadline=arrived + DEADLINE)
        except AppError as error:
            self.result.errors[error.code] += 1
            return
        with answer:
            self.result.succeeded += self._clock() <= arrived + DEADLINE
            self.result.added.append(began[0] - arrived)
            self.result.answers[answer.deployment.name] += 1
            await asyncio.sleep(answer.value)

    async def _call(self, upstream: Upstream) -> float:
        """One call, up to its first event. Return how long the rest of the answer takes."""
        now, random = self._clock(), self._random
        if _during(upstream.hangs, now):
            await asyncio.sleep(DEADLINE * 2)
        if _during(upstream.outages, now):
            await asyncio.sleep(random.uniform(0.01, 0.5))
            raise AttemptFailed(random.choice((Kind.SERVER_ERROR, Kind.CONNECT_ERROR, Kind.RESET)))
        if _during(upstream.storms, now) and random.random() < 0.7:
            await asyncio.sleep(0.05)
            wait = 86_400.0 if random.random() < 0.02 else random.uniform(0.5, 20)
            raise AttemptFailed(Kind.RATE_LIMITED, status=429, retry_after=wait)
        minute = upstream.deployment.name, int(now // 60)
        if upstream.per_minute is not None and self._sent[minute] >= upstream.per_minute:
            await asyncio.sleep(0.05)
            raise AttemptFailed(Kind.RATE_LIMITED, status=429, retry_after=60 - now % 60)
        self._sent[minute] += 1
        if random.random() < upstream.faults:
            await asyncio.sleep(random.uniform(0.01, 2))
            raise AttemptFailed(random.choice((Kind.SERVER_ERROR, Kind.RESET, Kind.INTERRUPTED)))
        first = random.lognormvariate(-0.7, 0.5)
        await asyncio.sleep(first * 25 if _during(upstream.slow, now) else first)
        return random.expovariate(1 / 4)

    def _hear(self, report: Report) -> None:
        result = self.result
        if isinstance(report, AttemptReport):
            result.calls += 1
            result.retries += report.number > 1
            result.outcomes[report.outcome] += 1
        elif isinstance(report, HealthChange):
            before = len(self._open)
            if report.state == "faults":
                self._open.add(report.deployment.name)
                result.openings += len(self._open) > before
            else:
                self._open.discard(report.deployment.name)
            result.all_open += before < len(self._open) == len(self._upstreams)


def _during(spans: Spans, now: float) -> bool:
    return any(start <= now < end for start, end in spans)


def simulate(scenario: Scenario, seed: int = 1) -> Result:
    """Run a scenario from its beginning to the end of its last answer."""

    async def main() -> Result:
        return await Simulated(scenario, seed).run()

    return virtual_time.run(main())


def table(results: Sequence[Result]) -> str:
    """The results as a Markdown table, with a line on what each row's deployments answered."""
    lines = [
        "| what happens | requests | hours | answered | calls a request | retries |"
        " added: median | 99 % | 99.9 % | opened | all open |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    lines += (
        f"| {one.scenario.name} | {one.scenario.requests:,} | {one.seconds / 3600:.1f} | {one.success:.3%} |"
        f" {one.calls_per_request:.3f} | {one.retries:,} | {one.added_at(0.5):.2f} s | {one.added_at(0.99):.2f} s |"
        f" {one.added_at(0.999):.2f} s | {one.openings} | {one.all_open} |"
        for one in results
    )
    lines += ["", "| what happens | share of the answers | failed calls | refused |", "|---|---|---|---|"]
    for one in results:
        total = max(1, sum(one.answers.values()))
        shares = ", ".join(
            f"{upstream.deployment.name} {one.answers[upstream.deployment.name] / total:.1%}"
            for upstream in one.scenario.upstreams
        )
        failed = ", ".join(f"{count:,} {name}" for name, count in sorted(one.outcomes.items()) if name != "ok")
        refused = ", ".join(f"{count:,} {code}" for code, count in sorted(one.errors.items()))
        lines.append(f"| {one.scenario.name} | {shares} | {failed or 'none'} | {refused or 'none'} |")
    return "\n".join(lines)


def choosing(deployments: int = 10, runs: int = 9, times: int = 10_000) -> float:
    """Time the choice of one of some deployments with limits: microseconds of CPU, the median of several runs."""
    random = Random(1)  # noqa: S311 - it simulates, it guards nothing
    members = [
        Member(
            Deployment(f"number {number}", f"https://{number}.openai.azure.com", tokens_per_minute=10**9),
            Breaker(BreakerRules(), random),
            Minute(10**9, 10**6),
        )
        for number in range(deployments)
    ]
    lineup = Lineup(Model("chat", tuple(member.deployment for member in members)), members)
    places = Places()
    clock = time.process_time
    took = []
    for _ in range(runs):
        before = clock()
        for _ in range(times):
            member = lineup.choose(before, places, random, tokens=1000)
            if member is not None:
                member.minute.spend(before, 1000)
        took.append((clock() - before) / times * 1e6)
    return median(took)


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    simulation = commands.add_parser("simulate", help="send hours of traffic through the pool, in moments")
    simulation.add_argument("--scale", type=float, default=1.0, help="part of the requests to simulate")
    simulation.add_argument("--write", type=Path, help="the page to put the table into")
    simulation.add_argument("--choosing", action="store_true", help="time the choice of a deployment, and no more")
    simulation.add_argument("--only", help="run the scenarios whose name contains this")
    simulation.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Runs the command."""
    if options.choosing:
        sys.stdout.write(f"Choosing one of 10 deployments takes {choosing():.1f} µs.\n")
        return 0
    chosen = [one for one in scenarios(options.scale) if not options.only or options.only in one.name]
    text = table([simulate(scenario) for scenario in chosen])
    if options.write is None:
        sys.stdout.write(text + "\n")
        return 0
    page = options.write.read_text(encoding="utf-8")
    before, _, rest = page.partition(MARKERS[0])
    _, _, after = rest.partition(MARKERS[1])
    options.write.write_text(f"{before}{MARKERS[0]}\n{text}\n{MARKERS[1]}{after}", encoding="utf-8")
    return 0
