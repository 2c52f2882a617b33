"""Which deployment is called."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from shared import errors
from shared.azure.outcomes import Kind
from shared.models import Deployment
from tests.azure.world import EAST, FAR, WEST, World, chat, in_virtual_time, limited


def deployment(name: str, **settings: object) -> Deployment:
    return replace(EAST, name=name, endpoint=f"https://{name}.openai.azure.com", **settings)  # type: ignore[arg-type]


@in_virtual_time
async def test_the_lowest_priority_number_is_called_first() -> None:
    world = World(FAR, EAST)
    assert [await world.ask() for _ in range(20)] == ["east"] * 20


@in_virtual_time
async def test_a_provisioned_deployment_comes_before_standard_ones_of_its_priority() -> None:
    world = World(EAST, deployment("reserved", kind="provisioned"), WEST)
    assert [await world.ask() for _ in range(20)] == ["reserved"] * 20


@in_virtual_time
async def test_a_provisioned_deployments_429_spills_over_at_once_and_it_returns_in_its_time() -> None:
    reserved = deployment("reserved", kind="provisioned")
    world = World(EAST, reserved)
    world.next(reserved, limited(1.5))
    assert await world.ask() == "east"
    assert world.clock() == 0.0
    await asyncio.sleep(1.4)
    assert await world.ask() == "east"
    await asyncio.sleep(0.2)
    assert await world.ask() == "reserved"


@in_virtual_time
async def test_within_a_priority_calls_follow_the_weights() -> None:
    world = World(replace(EAST, weight=3), WEST)
    shares = Counter([await world.ask() for _ in range(400)])
    assert 270 < shares["east"] < 330


@in_virtual_time
async def test_a_deployment_of_weight_zero_is_only_called_when_no_other_can_be() -> None:
    world = World(replace(EAST, weight=0), WEST)
    assert [await world.ask() for _ in range(50)] == ["west"] * 50
    world.next(WEST, limited(10))
    assert await world.ask() == "east"


@in_virtual_time
async def test_within_a_priority_calls_follow_what_is_left_of_each_minute() -> None:
    world = World(replace(EAST, tokens_per_minute=90_000), replace(WEST, tokens_per_minute=10_000))
    shares = Counter([await world.ask(tokens=100) for _ in range(400)])
    assert 330 < shares["east"] < 390


@in_virtual_time
async def test_a_deployment_whose_minute_is_used_up_is_passed_over_until_the_minute_turns() -> None:
    world = World(replace(EAST, requests_per_minute=3), FAR)
    assert [await world.ask() for _ in range(5)] == ["east"] * 3 + ["far"] * 2
    await asyncio.sleep(60)
    assert await world.ask() == "east"


@in_virtual_time
async def test_where_every_minute_seems_used_up_a_deployment_is_called_all_the_same() -> None:
    world = World(replace(EAST, requests_per_minute=1))
    assert [await world.ask() for _ in range(3)] == ["east"] * 3


@in_virtual_time
async def test_the_rate_limit_headers_of_an_answer_steer_the_next_request() -> None:
    async def nearly_used_up(_: object, details: object) -> None:
        details.observe({"x-ratelimit-remaining-tokens": "10"})  # type: ignore[attr-defined]

    world = World(EAST, FAR)
    world.next(EAST, nearly_used_up)
    assert [await world.ask(tokens=500) for _ in range(3)] == ["east", "far", "far"]


@in_virtual_time
async def test_tokens_that_were_not_used_are_given_back() -> None:
    world = World(replace(EAST, tokens_per_minute=1000))
    with await world.begin(tokens=900) as answer:
        assert world.health(EAST).tokens_left == 100
        answer.used(50)
    assert world.health(EAST).tokens_left == 950


@in_virtual_time
async def test_only_the_models_own_deployments_are_called() -> None:
    mini = chat(WEST, FAR, name="mini")
    world = World(models=(chat(EAST), mini))
    world.always = {"east": Kind.SERVER_ERROR}
    with pytest.raises(errors.UpstreamUnavailable):
        await world.ask()
    assert set(world.called) == {"east"}


@in_virtual_time
async def test_two_models_on_one_deployment_share_what_is_known_of_it() -> None:
    other = chat(EAST, WEST, name="other")
    world = World(models=(chat(EAST, FAR), other))
    world.next(EAST, limited(30))
    assert await world.ask() == "far"
    assert await world.ask(model=other) == "west"
    assert world.health(EAST).models == ("chat", "other")


@in_virtual_time
async def test_a_preferred_resource_comes_before_any_priority() -> None:
    world = World(EAST, FAR)
    with await world.begin(prefer=FAR.endpoint) as answer:
        assert (answer.value, answer.crossed) == ("far", False)


@in_virtual_time
async def test_leaving_the_preferred_resource_is_told_to_the_call_and_to_its_caller() -> None:
    world = World(EAST, FAR)
    world.next(FAR, limited(5))
    with await world.begin(prefer=FAR.endpoint) as answer:
        assert (answer.value, answer.crossed) == ("east", True)
    assert [details.crossed for details in world.attempts] == [False, True]
    await asyncio.sleep(5.5)
    assert await world.ask(prefer=FAR.endpoint) == "far"


@in_virtual_time
async def test_excluded_deployments_are_never_called() -> None:
    world = World(EAST, FAR)
    world.always = {"far": Kind.RESET}
    with pytest.raises(errors.UpstreamUnavailable):
        await world.ask(exclude=[EAST])
    assert set(world.called) == {"far"}
    with pytest.raises(errors.NoDeploymentAvailable):
        await world.ask(exclude=[EAST, FAR])


@in_virtual_time
async def test_a_deployment_in_use_is_not_forgotten() -> None:
    world = World(EAST)
    guess = replace(WEST, name="guess")
    with await world.begin(model=chat(guess, name="guess")):
        for number in range(600):
            await world.ask(model=chat(replace(WEST, name=f"guess-{number}"), name=f"guess-{number}"))
        assert world.health(guess).in_flight == 1


@in_virtual_time
async def test_tokens_of_a_call_that_was_turned_away_are_given_back() -> None:
    world = World(replace(EAST, tokens_per_minute=1000), FAR)
    world.next(EAST, limited(1))
    assert await world.ask(tokens=900) == "far"
    assert world.health(EAST).tokens_left == 1000


@in_virtual_time
async def test_models_that_are_only_passed_through_are_forgotten_after_a_while() -> None:
    world = World(EAST)
    for number in range(600):
        await world.ask(model=chat(replace(WEST, name=f"guess-{number}"), name=f"guess-{number}"))
    assert len(world.pool.health()) < 300
    assert world.health(EAST).models == ("chat",)


@in_virtual_time
async def test_a_cool_down_heard_from_another_worker_is_kept() -> None:
    world = World(EAST, FAR)
    world.pool.hear(f"{EAST.endpoint}|{EAST.name}", cooling=8)
    world.pool.hear("https://nowhere|unknown", cooling=8)
    assert await world.ask() == "far"
    await asyncio.sleep(8.1)
    assert await world.ask() == "east"


@in_virtual_time
async def test_no_other_worker_can_take_a_deployment_out_for_long() -> None:
    world = World(EAST)
    world.pool.hear(f"{EAST.endpoint}|{EAST.name}", cooling=1e9)
    assert world.health(EAST).seconds <= 120
