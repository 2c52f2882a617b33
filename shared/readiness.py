"""Can this app serve, and if not, which rung is broken?

    settings → identity → token → for each resource: dns → reach → role → (the doctor alone) each deployment

A rung is tried only when those below it hold. Up to the role nothing is spent; a deployment's rung costs a few tokens.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from shared import errors, reach
from shared.az import Mend, as_told
from shared.azure.identity import Passport
from shared.models import Deployment
from shared.reach import Place, Unreached
from shared.remedies import Remedies, Trouble

if TYPE_CHECKING:
    from shared.azure.pool import DeploymentHealth
    from shared.bootstrap import Services
    from shared.settings import Settings

log = logging.getLogger("app.ready")

State = Literal["ok", "failed", "skipped"]

ROLE_WITHIN = 15.0
"""Seconds that a resource may take to say whether it takes the identity."""

DEPLOYMENT_WITHIN = 60.0
"""Seconds that a deployment may take for its few tokens."""

KINDS = {
    "workload": "workload identity",
    "developer": "a developer's own sign-in",
    "managed": "system-assigned managed identity",
}


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the ladder: `name`, of which resource or model (`of`), and how it stands.

    `found` says what there is; of a broken rung `meaning` says what that means, `mend` what mends it, and `retry_after`
    (seconds) when it may hold without anybody's doing.
    """

    name: str
    state: State
    found: str
    of: str = ""
    meaning: str = ""
    mend: tuple[Mend, ...] = ()
    retry_after: float | None = None

    def told(self) -> dict[str, Any]:
        """The rung as JSON says it."""
        told: dict[str, Any] = {"name": self.name, "of": self.of, "state": self.state, "found": self.found}
        if self.state == "failed":
            told |= {"meaning": self.meaning, "mend": as_told(self.mend), "retry_after": self.retry_after}
        return told


Rungs = AsyncGenerator[Rung, None]
Step = tuple[str, str, Callable[[], Awaitable[str]]]
"""A rung's name, of what, and the test of it: it returns what it found, or raises `Broken` or `Unneeded`."""


class Broken(Exception):
    """The rung does not hold."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.found)
        self.trouble = trouble


class Unneeded(Exception):
    """The rung is not for this case; `str()` says why."""


async def climb(settings: Settings, services: Services | None, *, deployments: bool = False) -> Rungs:
    """The rungs of the ladder, each when it has been tried.

    `services` are those of `settings`, or None where these have mistakes. With `deployments` each of them is asked for
    16 tokens.
    """
    broken = ""
    ladder = _Ladder(settings, services)
    async for rung in _up(ladder.first()):
        broken = broken or (rung.name if rung.state == "failed" else "")
        yield rung
    if services is None:
        return
    listed = dict.fromkeys(one for model in services.models.models.values() for one in model.deployments)
    for base_url in dict.fromkeys(one.base_url for one in listed):
        place, below = Place.of(base_url), broken
        async for rung in _up(ladder.resource(place, base_url), below):
            below = below or (rung.name if rung.state == "failed" else "")
            yield rung
        if deployments:
            for name, one in {one.name: one for one in listed if one.base_url == base_url}.items():
                async for rung in _up([("deployment", name, ladder.deployment(place, one))], below):
                    yield rung
            continue
        for health in _refused(services):
            one = Deployment(health.name, health.endpoint)
            if one.base_url == base_url:
                async for rung in _up([("deployment", one.name, ladder.refused(place, one, health.state))], below):
                    yield rung


def _refused(services: Services) -> list[DeploymentHealth]:
    """The deployments that have refused this app's calls, and are left alone for that."""
    return [health for health in services.pool.health() if health.state in REFUSALS]


async def _up(steps: Sequence[Step], broken: str = "") -> Rungs:
    """The rungs of these steps; what comes after a broken one is not tried."""
    for name, of, test in steps:
        if broken:
            yield Rung(name, "skipped", f"not tried, as {broken} is broken", of)
            continue
        try:
            yield Rung(name, "ok", await test(), of)
        except Unneeded as why:
            yield Rung(name, "skipped", str(why), of)
        except Broken as error:
            broken, trouble = name, error.trouble
            yield Rung(name, "failed", trouble.found, of, trouble.meaning, trouble.mend, trouble.retry_after)


REFUSALS: dict[str, type[errors.AppError]] = {
    "forbidden": errors.UpstreamForbidden,
    "not_found": errors.DeploymentNotFound,
}
"""The states of a deployment that the pool leaves alone because of what it answered."""


class _Ladder:
    """The tests of the rungs, and what one of them learns for the next."""

    def __init__(self, settings: Settings, services: Services | None) -> None:
        self._settings = settings
        self._services = services
        self._remedies = Remedies(settings)
        self._passport = Passport("", "", "", "", "ServicePrincipal", 0)

    def first(self) -> list[Step]:
        """What is before any resource."""
        return [("settings", "", self._set_up), ("identity", "", self._identity), ("token", "", self._token)]

    def resource(self, place: Place, base_url: str) -> list[Step]:
        """What is asked of each resource."""
        within = self._settings.connect_timeout

        async def dns() -> str:
            try:
                addresses = await reach.resolve(place, within)
            except Unreached as error:
                raise Broken(self._remedies.dns(error.fault)) from None
            return ", ".join(f"{address} ({reach.kind_of(address)})" for address in addresses)

        async def connected() -> str:
            try:
                version = await reach.connect(place, self._live.client.trust, within)
            except Unreached as error:
                raise Broken(self._remedies.reach(place, error.fault, within)) from None
            except errors.AppError as error:
                raise Broken(self._remedies.other(place, error)) from None
            if version:
                return f"port {place.port}, {version}, a certificate that is trusted"
            return f"port {place.port}, plain http, which is for this machine alone"

        async def role() -> str:
            try:
                async with asyncio.timeout(ROLE_WITHIN):
                    await self._live.openai.ask(base_url)
            except (errors.AppError, TimeoutError) as error:
                raise Broken(self._remedies.role(place, self._passport, _ours(error))) from None
            return "Azure OpenAI takes the identity"

        return [("dns", place.name, dns), ("reach", place.name, connected), ("role", place.name, role)]

    def refused(self, place: Place, one: Deployment, state: str) -> Callable[[], Awaitable[str]]:
        """What is known of a deployment that has refused a call: nothing is spent to ask it again."""

        async def test() -> str:
            raise Broken(self._remedies.deployment(place, one, self._passport, REFUSALS[state]()))

        return test

    def deployment(self, place: Place, one: Deployment) -> Callable[[], Awaitable[str]]:
        """The test of a deployment."""

        async def test() -> str:
            try:
                async with asyncio.timeout(DEPLOYMENT_WITHIN):
                    probed = await self._live.openai.probe(one)
            except errors.UpstreamRejected:
                raise Unneeded(
                    "it is there, and takes no Responses call: right for a model that makes no text"
                ) from None
            except (errors.AppError, TimeoutError) as error:
                raise Broken(self._remedies.deployment(place, one, self._passport, _ours(error))) from None
            limits = [
                f"{number:,} {what}"
                for number, what in ((probed.requests, "requests"), (probed.tokens, "tokens"))
                if number is not None
            ]
            told = f"it answers as {probed.model}" if probed.model else "it answers"
            return told + (f"; its limits: {', '.join(limits)}" if limits else "")

        return test

    @property
    def _live(self) -> Services:
        if self._services is None:
            raise Broken(self._remedies.settings())
        return self._services

    async def _set_up(self) -> str:
        services, models = self._live, ", ".join(self._live.models.models)
        places = dict.fromkeys(
            Place.of(one.base_url).name for model in services.models.models.values() for one in model.deployments
        )
        warnings = "".join(f" ({warning})" for warning in self._settings.warnings)
        return f"complete: {models} at {', '.join(places)}{warnings}"

    async def _identity(self) -> str:
        settings = self._settings
        try:
            self._passport = passport = await self._live.keeper.passport()
        except errors.AppError as error:
            raise Broken(self._remedies.identity(error)) from None
        kind = KINDS[settings.credential_kind]
        if settings.credential_kind == "managed" and settings.client_id:
            kind = "user-assigned managed identity"
        ids = ", ".join(
            f"{name} {value}"
            for name, value in (("client id", passport.client_id), ("object id", passport.object_id))
            if value
        )
        return f"{kind}: {ids or 'its token does not say which'}"

    async def _token(self) -> str:
        passport, wanted = self._passport, self._settings.token_scope.removesuffix("/.default")
        if passport.audience.startswith("https://") and passport.audience != wanted:
            raise Broken(self._remedies.token(passport, wanted))
        hours, minutes = divmod(int(passport.seconds_left) // 60, 60)
        told = [f"for {passport.audience or wanted}", f"{hours} h {minutes} min left"]
        return ", ".join([*told, f"tenant {passport.tenant_id}"] if passport.tenant_id else told)


def _ours(error: errors.AppError | TimeoutError) -> errors.AppError:
    return error if isinstance(error, errors.AppError) else errors.UpstreamTimeout()


@dataclass(frozen=True, slots=True)
class Report:
    """The whole ladder, once climbed. `needed` has, for each model, the resources of which any one is enough."""

    rungs: tuple[Rung, ...]
    needed: tuple[frozenset[str], ...] = ()

    @property
    def broken(self) -> Rung | None:
        """The first broken rung, if any."""
        return next((rung for rung in self.rungs if rung.state == "failed"), None)

    @property
    def serves(self) -> bool:
        """Whether there is an answer for each model: where it has several resources, one of them may be broken."""
        if self.broken is None:
            return True
        whole = {rung.of for rung in self.rungs if rung.name == "role" and rung.state == "ok"}
        return bool(self.needed) and all(whole & resources for resources in self.needed)

    def told(self) -> dict[str, Any]:
        """The report as JSON says it."""
        status = "ready" if self.serves else "not_ready"
        return {"status": status, "rungs": [rung.told() for rung in self.rungs]}


def needed(services: Services) -> tuple[frozenset[str], ...]:
    """For each model, the resources of which any one is enough: those of deployments that have not refused a call."""
    refused = {(health.endpoint, health.name) for health in _refused(services)}
    return tuple(
        frozenset(Place.of(one.base_url).name for one in model.deployments if (one.endpoint, one.name) not in refused)
        for model in services.models.models.values()
    )


class Readiness:
    """The report of a worker, made at most once in `keep` seconds, in one flight however many ask."""

    def __init__(
        self, report: Callable[[], Awaitable[Report]], keep: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._report = report
        self._keep = keep
        self._clock = clock
        self._flight: asyncio.Task[Report] | None = None
        self._landed_at = float("-inf")
        self._logged = ""

    async def report(self) -> Report:
        """The report, no older than `keep` seconds."""
        if self._flight is None or (self._flight.done() and self._clock() - self._landed_at >= self._keep):
            self._flight = asyncio.create_task(self._climb())
        # Shielded: one caller who leaves must not end the flight that the others wait for.
        return await asyncio.shield(self._flight)

    async def close(self) -> None:
        """Ends a flight that is under way."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)

    async def _climb(self) -> Report:
        try:
            report = await self._report()
        finally:
            self._landed_at = self._clock()
        self._log("" if report.broken is None or report.serves else report.broken.name)
        return report

    def _log(self, broken: str) -> None:
        """A line where it changed: probes ask all the time."""
        if broken and broken != self._logged:
            log.warning("not ready: %s", broken)
        elif self._logged and not broken:
            log.info("ready again")
        self._logged = broken
