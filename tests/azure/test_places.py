"""How many requests are served at once, and in which order the others follow."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from shared import errors
from shared.azure.calls import Attempt, PoolRules
from shared.azure.outcomes import Kind
from shared.models import Deployment
from tests.azure.world import EAST, FAR, World, in_virtual_time, limited

NARROW = replace(EAST, concurrency=1)


async def later_limited(_: Deployment, __: Attempt) -> None:
    """A 429 that takes its time."""
    await asyncio.sleep(0.5)
    raise limited(100)


@in_virtual_time
async def test_a_full_deployment_is_passed_over_for_one_with_room() -> None:
    world = World(NARROW, FAR)
    with await world.begin() as first, await world.begin() as second:
        assert (first.value, second.value) == ("east", "far")


@in_virtual_time
async def test_those_who_queue_are_served_in_the_order_in_which_they_came() -> None:
    world = World(NARROW)
    served: list[int] = []

    async def one(number: int) -> None:
        with await world.begin():
            served.append(number)
            await asyncio.sleep(1)

    await asyncio.gather(*[one(number) for number in range(6)])
    assert served == [0, 1, 2, 3, 4, 5]
    assert world.clock() == 5.0 + 1.0


@in_virtual_time
async def test_a_newcomer_does_not_overtake_those_who_queue() -> None:
    world = World(NARROW)
    served: list[str] = []

    async def one(name: str) -> None:
        with await world.begin():
            served.append(name)

    held = await world.begin()
    early = asyncio.create_task(one("early"))
    await asyncio.sleep(1)
    held.ended()
    late = asyncio.create_task(one("late"))
    await asyncio.gather(early, late)
    assert served == ["early", "late"]


@in_virtual_time
async def test_beyond_the_queue_a_request_is_refused_at_once_with_a_time_to_wait() -> None:
    world = World(NARROW, rules=PoolRules(queue=2))
    held = await world.begin()
    queued = [asyncio.create_task(world.ask()) for _ in range(2)]
    await asyncio.sleep(0.1)
    before = world.clock()
    with pytest.raises(errors.Overloaded) as caught:
        await world.ask()
    assert world.clock() == before
    assert caught.value.retry_after is not None
    assert 1 <= caught.value.retry_after <= 3
    held.ended()
    await asyncio.gather(*queued)


@in_virtual_time
async def test_a_request_queues_only_for_a_short_time() -> None:
    world = World(NARROW)
    held = await world.begin()
    with pytest.raises(errors.Overloaded):
        await world.ask()
    assert world.clock() == 10.0
    with pytest.raises(errors.UpstreamTimeout):
        await world.ask(seconds=2)
    assert world.clock() == 12.0
    held.ended()
    assert await world.ask() == "east"


@in_virtual_time
async def test_a_caller_who_leaves_the_queue_frees_the_place_for_the_next() -> None:
    world = World(NARROW, rules=PoolRules(queue=2))
    held = await world.begin()
    leaving, staying = asyncio.create_task(world.ask()), asyncio.create_task(world.ask())
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    another = asyncio.create_task(world.ask())
    await asyncio.sleep(0)
    held.ended()
    assert list(await asyncio.gather(staying, another)) == ["east", "east"]
    assert world.health(NARROW).in_flight == 0


@in_virtual_time
async def test_a_caller_who_leaves_at_the_moment_of_being_served_hands_the_place_on() -> None:
    world = World(NARROW)
    held = await world.begin()
    leaving, staying = asyncio.create_task(world.ask()), asyncio.create_task(world.ask())
    await asyncio.sleep(0)
    held.ended()
    leaving.cancel()
    assert await staying == "east"
    assert world.health(NARROW).in_flight == 0


@in_virtual_time
async def test_a_place_freed_at_the_moment_of_leaving_goes_to_the_next() -> None:
    world = World(NARROW)
    held = await world.begin()
    leaving, staying = asyncio.create_task(world.ask()), asyncio.create_task(world.ask())
    await asyncio.sleep(0)
    leaving.cancel()
    held.ended()
    assert await staying == "east"
    assert world.health(NARROW).in_flight == 0


@in_virtual_time
async def test_a_caller_who_leaves_during_a_call_frees_its_place_and_its_probe() -> None:
    world = World(NARROW, FAR)
    world.next(NARROW, limited(86_400), 1000.0)
    await world.ask()
    await asyncio.sleep(61)
    probing = asyncio.create_task(world.ask())
    await asyncio.sleep(1)
    assert world.health(NARROW).state == "probing"
    probing.cancel()
    await asyncio.gather(probing, return_exceptions=True)
    assert world.health(NARROW).in_flight == 0
    assert await world.ask() == "east"


@in_virtual_time
async def test_the_limit_in_all_holds_over_every_deployment() -> None:
    world = World(EAST, FAR, rules=PoolRules(concurrency=3))
    world.always = {"east": 1.0, "far": 1.0}
    most = 0

    async def one() -> None:
        nonlocal most
        with await world.begin():
            most = max(most, sum(health.in_flight for health in world.pool.health()))

    await asyncio.gather(*[one() for _ in range(12)])
    assert most == 3
    assert world.clock() == 4.0


@in_virtual_time
async def test_who_queues_for_a_deployment_that_then_cools_down_goes_elsewhere() -> None:
    world = World(NARROW, replace(FAR, concurrency=1))
    world.next(NARROW, 1.0)
    world.next(FAR, 3.0)
    first, second = asyncio.create_task(world.ask()), asyncio.create_task(world.ask())
    await asyncio.sleep(0.5)
    third = asyncio.create_task(world.ask())
    await asyncio.sleep(0)
    world.pool.hear(f"{NARROW.endpoint}|{NARROW.name}", cooling=30)
    assert list(await asyncio.gather(first, second, third)) == ["east", "far", "far"]


@in_virtual_time
async def test_who_queues_takes_a_deployment_that_returns_meanwhile() -> None:
    world = World(NARROW, FAR)
    world.next(NARROW, 8.0)
    world.pool.hear(f"{FAR.endpoint}|{FAR.name}", cooling=2)
    holding = asyncio.create_task(world.ask())
    await asyncio.sleep(0)
    assert await world.ask() == "far"
    assert 2 <= world.clock() <= 3
    assert await holding == "east"


@in_virtual_time
async def test_a_place_that_is_freed_in_the_last_moment_is_used() -> None:
    world = World(NARROW)
    held = await world.begin()
    asyncio.get_running_loop().call_at(10.0, held.ended)
    assert await world.ask() == "east"
    assert world.clock() == 10.0
    assert world.health(NARROW).in_flight == 0


@in_virtual_time
async def test_a_retry_that_queued_is_made_only_if_the_retry_budget_still_allows_it() -> None:
    far = replace(FAR, concurrency=1)
    world = World(EAST, far, rules=PoolRules(retry_share=0))
    for _ in range(9):
        world.next(EAST, limited(0))
        assert await world.ask() == "far"
        await asyncio.sleep(1)
    held = await world.begin(exclude=[EAST])
    world.next(EAST, later_limited, later_limited)
    first, second = asyncio.create_task(world.ask()), asyncio.create_task(world.ask())
    await asyncio.sleep(2)
    held.ended()
    assert await first == "far"
    with pytest.raises(errors.RateLimited):
        await second
    assert world.health(far).in_flight == 0


@in_virtual_time
async def test_a_failed_call_gives_its_place_back() -> None:
    world = World(NARROW, rules=PoolRules(most_calls=2))
    world.always = {"east": Kind.RESET}
    for _ in range(10):
        with pytest.raises(errors.UpstreamError):
            await world.ask()
    assert world.health(NARROW).in_flight == 0
