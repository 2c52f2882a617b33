"""A pool in virtual time, with an upstream that does what a test tells it."""

from __future__ import annotations

import asyncio
import functools
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any

from dev import virtual_time
from shared.azure.calls import Answer, Attempt, PoolRules
from shared.azure.outcomes import AttemptFailed, Kind, Report
from shared.azure.pool import DeploymentHealth, Pool
from shared.models import Deployment, Model

EAST = Deployment("east", "https://east.openai.azure.com")
WEST = Deployment("west", "https://west.openai.azure.com")
FAR = Deployment("far", "https://far.openai.azure.com", priority=2)

Step = Kind | BaseException | float | Callable[[Deployment, Attempt], Awaitable[Any]]
"""What one call does: fail at once, or answer after some seconds."""

Listener = Callable[[Report], None]


def chat(*deployments: Deployment, name: str = "chat") -> Model:
    """A model that these deployments serve."""
    return Model(name, deployments)


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test out of a coroutine: it runs on a loop whose time jumps."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        virtual_time.run(test(*args, **kwargs))

    return run


class World:
    """The pool, its model, and what happened. Calls answer at once where no step is left for their deployment."""

    def __init__(
        self,
        *deployments: Deployment,
        rules: PoolRules | None = None,
        models: tuple[Model, ...] = (),
        listener: Listener | None = None,
    ) -> None:
        self.model = models[0] if models else chat(*deployments)
        self.reports: list[Report] = []
        self.calls: list[tuple[float, str]] = []
        self.attempts: list[Attempt] = []
        self.steps: dict[str, deque[Step]] = defaultdict(deque)
        self.always: dict[str, Step] = {}
        self.pool = Pool(
            models or [self.model],
            rules=rules,
            clock=self.clock,
            wall=self.clock,
            random=Random(1),
            listener=listener or self.reports.append,
        )

    @staticmethod
    def clock() -> float:
        return asyncio.get_running_loop().time()

    @property
    def called(self) -> list[str]:
        """The names of the deployments called so far."""
        return [name for _, name in self.calls]

    def next(self, deployment: Deployment, *steps: Step) -> None:
        """Say what the next calls to a deployment do."""
        self.steps[deployment.name].extend(steps)

    async def attempt(self, deployment: Deployment, details: Attempt) -> str:
        self.calls.append((self.clock(), deployment.name))
        self.attempts.append(details)
        steps = self.steps[deployment.name]
        step = steps.popleft() if steps else self.always.get(deployment.name, 0.0)
        if isinstance(step, Kind):
            raise AttemptFailed(step)
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, float | int):
            await asyncio.sleep(step)
        else:
            await step(deployment, details)
        return deployment.name

    async def begin(self, *, seconds: float = 215.0, model: Model | None = None, **options: Any) -> Answer[str]:
        """Send a request; its answer holds its place until it is left."""
        return await self.pool.run(model or self.model, self.attempt, deadline=self.clock() + seconds, **options)

    async def ask(self, **options: Any) -> str:
        """Send a request and read its answer to the end. Return the name of the deployment that answered."""
        with await self.begin(**options) as answer:
            return answer.value

    def health(self, deployment: Deployment) -> DeploymentHealth:
        (found,) = [one for one in self.pool.health() if one.name == deployment.name]
        return found


def limited(seconds: float | None) -> AttemptFailed:
    """A 429 that asks for some seconds."""
    return AttemptFailed(Kind.RATE_LIMITED, status=429, retry_after=seconds)
