"""When a deployment is taken out because it fails, and how it comes back."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise

import pytest

from shared import errors
from shared.azure.calls import Attempt, PoolRules
from shared.azure.outcomes import AttemptFailed, Kind
from shared.models import Deployment
from tests.azure.world import EAST, FAR, WEST, World, in_virtual_time, limited


@in_virtual_time
async def test_five_faults_in_a_row_take_a_deployment_out_while_another_can_stand_in() -> None:
    world = World(EAST, FAR)
    world.always = {"east": Kind.SERVER_ERROR}
    assert [await world.ask() for _ in range(8)] == ["far"] * 8
    assert world.called.count("east") == 5
    assert world.health(EAST).state == "faults"
    assert 4 <= world.health(EAST).seconds <= 6


@in_virtual_time
async def test_after_its_pause_one_probe_at_a_time_tells_whether_a_deployment_is_back() -> None:
    world = World(EAST, FAR)
    world.next(EAST, *[Kind.RESET] * 5, 3.0)
    for _ in range(5):
        await world.ask()
    await asyncio.sleep(6.5)
    answers = await asyncio.gather(*[world.ask() for _ in range(10)])
    assert Counter(answers) == {"far": 9, "east": 1}
    assert world.health(EAST).state == "ok"
    assert await world.ask() == "east"


@in_virtual_time
async def test_each_failed_probe_makes_the_pause_longer_up_to_half_a_minute() -> None:
    world = World(EAST, FAR)
    world.always = {"east": Kind.CONNECT_ERROR}
    for _ in range(2000):
        await world.ask()
        await asyncio.sleep(0.1)
    times = [time for time, name in world.calls if name == "east"][4:]
    gaps = [later - before for before, later in pairwise(times)]
    assert gaps[:4] == pytest.approx([5, 10, 20, 30], rel=0.25)
    assert all(23 < gap < 37 for gap in gaps[3:])


@in_virtual_time
async def test_half_of_at_least_ten_calls_failing_within_half_a_minute_takes_a_deployment_out() -> None:
    world = World(EAST, FAR)
    for _ in range(5):
        world.next(EAST, 0.0, Kind.RESET)
    for place in range(9):
        await world.ask()
        assert world.health(EAST).state == "ok", place
    await world.ask()
    assert world.health(EAST).state == "faults"


@in_virtual_time
async def test_half_of_ten_calls_failing_over_a_longer_time_does_not() -> None:
    world = World(EAST, FAR)
    for _ in range(20):
        world.next(EAST, 0.0, Kind.RESET)
    for _ in range(40):
        await world.ask()
        await asyncio.sleep(4)
        assert world.health(EAST).state == "ok"


@in_virtual_time
async def test_a_deployment_that_no_other_can_stand_in_for_is_only_taken_out_when_it_is_plainly_down() -> None:
    world = World(EAST, rules=PoolRules(most_calls=1))
    world.next(EAST, *[Kind.RESET] * 19, 0.0, *[Kind.RESET] * 20)
    for place in range(39):
        if place == 19:
            assert await world.ask() == "east"
            continue
        with pytest.raises(errors.UpstreamUnavailable):
            await world.ask()
        assert world.health(EAST).state == "ok"
    with pytest.raises(errors.UpstreamUnavailable):
        await world.ask()
    assert world.health(EAST).state == "faults"
    assert world.health(EAST).seconds < 1.5


@in_virtual_time
async def test_one_request_that_fails_again_and_again_counts_once_against_a_deployment() -> None:
    world = World(EAST, WEST)
    world.always = {"east": Kind.SERVER_ERROR, "west": Kind.SERVER_ERROR}
    for _ in range(4):
        with pytest.raises(errors.UpstreamUnavailable):
            await world.ask()
    assert len(world.calls) > 12
    assert {one.state for one in world.pool.health()} == {"ok"}


@in_virtual_time
async def test_what_began_before_a_deployment_was_taken_out_does_not_bring_it_back() -> None:
    world = World(EAST, FAR)
    world.next(EAST, 2.0)
    slow = asyncio.create_task(world.ask())
    await asyncio.sleep(0)
    world.next(EAST, *[Kind.RESET] * 5)
    for _ in range(5):
        await world.ask()
    assert await slow == "east"
    assert world.health(EAST).state == "faults"


@in_virtual_time
async def test_calls_that_fail_after_a_deployment_was_taken_out_do_not_keep_it_out_for_longer() -> None:
    world = World(EAST, FAR)

    async def fail_later(_: Deployment, __: Attempt) -> None:
        await asyncio.sleep(1)
        raise AttemptFailed(Kind.RESET)

    world.next(EAST, *[fail_later] * 15)
    await asyncio.gather(*[world.ask() for _ in range(15)])
    assert world.health(EAST).state == "faults"
    assert world.health(EAST).seconds <= 6


@in_virtual_time
async def test_a_429_answers_the_question_whether_a_deployment_is_back() -> None:
    world = World(EAST, FAR)
    world.next(EAST, *[Kind.RESET] * 5, limited(3), 1.0, 1.0)
    for _ in range(5):
        await world.ask()
    await asyncio.sleep(6.5)
    assert await world.ask() == "far"
    assert world.health(EAST).state == "rate_limited"
    await asyncio.sleep(3.1)
    assert list(await asyncio.gather(world.ask(), world.ask())) == ["east", "east"]


@in_virtual_time
async def test_a_probes_answer_does_not_undo_what_was_learnt_since() -> None:
    async def drained(_: Deployment, __: Attempt) -> None:
        await asyncio.sleep(7)
        raise limited(86_400)

    world = World(EAST, FAR)
    world.next(EAST, drained, *[Kind.RESET] * 5, 2.0)
    early = asyncio.create_task(world.ask())
    await asyncio.sleep(0)
    for _ in range(5):
        await world.ask()
    await asyncio.sleep(6.2)
    assert await world.ask() == "east"
    assert await early == "far"
    assert world.health(EAST).state == "drained"


@in_virtual_time
async def test_a_deployment_that_is_back_begins_with_a_clean_record() -> None:
    world = World(EAST, FAR)
    for _ in range(5):
        world.next(EAST, 0.0, Kind.RESET)
    for _ in range(10):
        await world.ask()
    await asyncio.sleep(6.5)
    world.next(EAST, 0.0, Kind.RESET, Kind.RESET)
    for _ in range(3):
        await world.ask()
    assert world.health(EAST).state == "ok"


@in_virtual_time
async def test_a_deployment_that_cools_down_cannot_stand_in_for_another() -> None:
    world = World(EAST, WEST, rules=PoolRules(most_calls=1))
    world.pool.hear(f"{WEST.endpoint}|{WEST.name}", cooling=60)
    world.next(EAST, *[Kind.RESET] * 6)
    for _ in range(6):
        with pytest.raises(errors.UpstreamUnavailable):
            await world.ask()
    assert world.health(EAST).state == "ok"


@in_virtual_time
async def test_a_request_that_probes_for_itself_waits_longer_each_time() -> None:
    world = World(EAST, rules=PoolRules(most_calls=4, round_pause=0, retry_share=9))
    world.always = {"east": Kind.RESET}
    while world.health(EAST).state == "ok":
        world.calls.clear()
        with pytest.raises(errors.UpstreamUnavailable):
            await world.ask()
    gaps = [later[0] - before[0] for before, later in pairwise(world.calls)]
    assert gaps == pytest.approx([1, 2, 4], rel=0.4)


@in_virtual_time
async def test_a_probe_cut_short_by_its_callers_deadline_leaves_the_next_caller_to_probe() -> None:
    world = World(EAST, FAR)
    world.next(EAST, *[Kind.RESET] * 5, 100.0, 0.0)
    for _ in range(5):
        await world.ask()
    await asyncio.sleep(6.5)
    with pytest.raises(errors.UpstreamTimeout):
        await world.ask(seconds=0.5)
    assert await world.ask() == "east"
    assert world.health(EAST).state == "ok"


@in_virtual_time
async def test_who_waits_for_anothers_probe_has_little_patience() -> None:
    world = World(EAST, rules=PoolRules(most_calls=1))
    world.next(EAST, *[Kind.RESET] * 20, 25.0)
    for _ in range(20):
        with pytest.raises(errors.UpstreamUnavailable):
            await world.ask()
    await asyncio.sleep(1.5)
    probing = asyncio.create_task(world.ask())
    await asyncio.sleep(0)
    before = world.clock()
    with pytest.raises(errors.NoDeploymentAvailable):
        await world.ask()
    assert 9 < world.clock() - before < 11
    assert await probing == "east"


@in_virtual_time
async def test_a_request_waits_a_little_for_deployments_that_are_out_because_of_faults() -> None:
    world = World(EAST, rules=PoolRules(most_calls=1))
    world.next(EAST, *[Kind.RESET] * 20)
    for _ in range(20):
        with pytest.raises(errors.UpstreamUnavailable):
            await world.ask()
    assert await world.ask() == "east"
    assert 0.8 <= world.clock() <= 1.6


@in_virtual_time
async def test_a_request_does_not_wait_long_for_them() -> None:
    world = World(EAST)
    world.always = {"east": Kind.RESET}
    worst = 0.0
    for _ in range(100):
        before = world.clock()
        with pytest.raises(errors.UpstreamError):
            await world.ask()
        worst = max(worst, world.clock() - before)
        await asyncio.sleep(1)
    assert 1 < worst < 13
    with pytest.raises(errors.NoDeploymentAvailable) as caught:
        await world.ask()
    assert caught.value.status == 503
    assert caught.value.retry_after is not None
    assert 10 < caught.value.retry_after < 40
