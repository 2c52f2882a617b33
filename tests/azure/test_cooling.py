"""When a deployment is left alone because it asked for it, and who waits for it."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from shared import errors
from shared.azure.calls import Attempt, PoolRules
from shared.azure.outcomes import AttemptFailed, HealthChange, Kind
from shared.models import Deployment
from tests.azure.world import EAST, FAR, WEST, World, in_virtual_time, limited


@in_virtual_time
async def test_many_calls_turned_away_as_drained_are_one_change_of_health() -> None:
    async def drained(_: Deployment, __: Attempt) -> None:
        await asyncio.sleep(1)
        raise limited(86_400)

    world = World(EAST, FAR)
    world.next(EAST, *[drained] * 8)
    await asyncio.gather(*[world.ask() for _ in range(8)])
    assert [one.state for one in world.reports if isinstance(one, HealthChange)] == ["drained"]


@in_virtual_time
async def test_where_all_are_cooling_down_a_request_waits_for_the_first_to_return() -> None:
    world = World(EAST, WEST)
    world.next(EAST, limited(20))
    world.next(WEST, limited(7))
    assert await world.ask() == "west"
    assert 7 <= world.clock() <= 8


@in_virtual_time
async def test_a_wait_that_does_not_fit_the_deadline_is_refused_at_once_with_the_smallest_retry_after() -> None:
    world = World(EAST, WEST)
    world.next(EAST, limited(20))
    world.next(WEST, limited(40))
    for _ in range(2):
        with pytest.raises(errors.RateLimited) as caught:
            await world.ask(seconds=15)
        assert caught.value.retry_after == pytest.approx(20)
    assert len(world.calls) == 2
    assert world.clock() == 0.0


@in_virtual_time
async def test_no_more_than_some_requests_wait_for_a_cool_down() -> None:
    world = World(EAST, rules=PoolRules(waiting=2))
    world.next(EAST, limited(5))
    first = [asyncio.create_task(world.ask()) for _ in range(2)]
    await asyncio.sleep(1)
    with pytest.raises(errors.RateLimited):
        await world.ask()
    assert list(await asyncio.gather(*first)) == ["east", "east"]
    world.next(EAST, limited(5))
    assert await world.ask() == "east"


@in_virtual_time
async def test_a_429_without_a_time_is_left_alone_for_longer_each_time() -> None:
    world = World(EAST)
    world.next(EAST, limited(None), limited(None), limited(None))
    assert await world.ask() == "east"
    gaps = [later[0] - before[0] for before, later in pairwise(world.calls)]
    assert [round(gap) for gap in gaps] == [1, 2, 4]


@in_virtual_time
async def test_an_absurd_retry_after_means_drained_with_one_probe_a_minute() -> None:
    world = World(EAST, FAR)
    world.next(EAST, limited(86_400), limited(86_400))
    assert await world.ask() == "far"
    assert world.health(EAST).state == "drained"
    for _ in range(150):
        await asyncio.sleep(1)
        await world.ask()
    probes = [time for time, name in world.calls if name == "east"]
    assert probes[:3] == pytest.approx([0, 61, 122], abs=2)
    assert world.health(EAST).state == "ok"


@in_virtual_time
async def test_a_request_does_not_wait_for_a_drained_deployment() -> None:
    world = World(EAST)
    world.next(EAST, limited(86_400))
    with pytest.raises(errors.RateLimited) as caught:
        await world.ask()
    assert caught.value.retry_after == pytest.approx(60)
    assert world.clock() == 0.0


@pytest.mark.parametrize(
    ("kind", "state", "error"),
    [
        (Kind.FORBIDDEN, "forbidden", errors.UpstreamForbidden),
        (Kind.NOT_FOUND, "not_found", errors.DeploymentNotFound),
    ],
)
def test_a_missing_role_or_deployment_is_taken_out_for_a_minute_and_shown(
    kind: Kind, state: str, error: type[errors.AppError]
) -> None:
    @in_virtual_time
    async def story() -> None:
        world = World(EAST)
        world.next(EAST, kind)
        for _ in range(5):
            with pytest.raises(error):
                await world.ask()
        assert len(world.calls) == 1
        assert world.clock() == 0.0
        assert (world.health(EAST).state, round(world.health(EAST).seconds)) == (state, 60)
        assert [report.state for report in world.reports if isinstance(report, HealthChange)] == [state]
        await asyncio.sleep(60.5)
        assert await world.ask() == "east"
        assert world.health(EAST).state == "ok"

    story()


@in_virtual_time
async def test_a_later_and_shorter_cool_down_does_not_shorten_the_first() -> None:
    async def later(_: Deployment, __: Attempt) -> None:
        await asyncio.sleep(1)
        raise limited(2)

    world = World(EAST, FAR)
    world.next(EAST, later, limited(30))
    await asyncio.gather(world.ask(), world.ask())
    assert world.health(EAST).seconds == pytest.approx(29)


@in_virtual_time
async def test_a_503_with_a_retry_after_is_left_alone_that_long() -> None:
    world = World(EAST, FAR)
    world.next(EAST, AttemptFailed(Kind.SERVER_ERROR, status=503, retry_after=9))
    assert await world.ask() == "far"
    assert (world.health(EAST).state, world.health(EAST).seconds) == ("busy", 9)
