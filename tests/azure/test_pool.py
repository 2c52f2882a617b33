"""What happens when a deployment does not answer, and what is told of it."""

from __future__ import annotations

import asyncio

import pytest

from shared import errors
from shared.azure.breaker import BreakerRules
from shared.azure.calls import PoolRules
from shared.azure.outcomes import AttemptFailed, AttemptReport, HealthChange, Kind
from tests.azure.world import EAST, FAR, WEST, World, in_virtual_time, limited


@pytest.mark.parametrize(
    "kind",
    [kind for kind in Kind if kind is not Kind.BAD_REQUEST],
)
def test_the_next_deployment_is_called_at_once(kind: Kind) -> None:
    @in_virtual_time
    async def story() -> None:
        world = World(EAST, FAR)
        world.next(EAST, kind)
        assert await world.ask() == "far"
        assert world.clock() == 0.0

    story()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.RateLimited(retry_after=4), "rate_limited"),
        (errors.UpstreamTimeout(), "timeout"),
        (errors.UpstreamInterrupted(), "interrupted"),
        (errors.UpstreamUnauthorized(), "unauthorized"),
        (errors.UpstreamForbidden(), "forbidden"),
        (errors.DeploymentNotFound(), "not_found"),
        (errors.UpstreamUnavailable(), "server_error"),
    ],
)
def test_the_apps_own_errors_are_understood(error: errors.UpstreamError, kind: str) -> None:
    @in_virtual_time
    async def story() -> None:
        world = World(EAST, FAR)
        world.next(EAST, error)
        assert await world.ask() == "far"
        assert world.health(EAST).last_failure == kind
        if kind == "rate_limited":
            assert world.health(EAST).seconds == 4

    story()


@in_virtual_time
async def test_a_request_that_upstream_rejects_is_not_sent_again() -> None:
    world = World(EAST, FAR)
    world.next(EAST, errors.UpstreamRejected())
    with pytest.raises(errors.UpstreamRejected):
        await world.ask()
    assert world.called == ["east"]


@in_virtual_time
async def test_a_bad_request_is_told_to_its_caller_and_counts_against_no_deployment() -> None:
    world = World(EAST, WEST)
    refused = errors.UpstreamRejected()
    world.always = {name: AttemptFailed(Kind.BAD_REQUEST, status=400, error=refused) for name in ("east", "west")}
    for _ in range(50):
        with pytest.raises(errors.UpstreamRejected) as caught:
            await world.ask()
        assert caught.value is refused
    assert len(world.calls) == 50
    assert {one.state for one in world.pool.health()} == {"ok"}
    assert {one.in_flight for one in world.pool.health()} == {0}


@in_virtual_time
async def test_a_time_out_that_is_not_the_calls_goes_through() -> None:
    world = World(EAST, FAR)
    world.next(EAST, TimeoutError())
    with pytest.raises(TimeoutError):
        await world.ask()
    assert (world.health(EAST).state, world.health(EAST).in_flight) == ("ok", 0)


@in_virtual_time
async def test_a_refused_token_is_tried_once_on_each_deployment() -> None:
    world = World(EAST, FAR)
    world.always = {"east": Kind.UNAUTHORIZED, "far": Kind.UNAUTHORIZED}
    with pytest.raises(errors.UpstreamUnauthorized):
        await world.ask()
    assert world.called == ["east", "far"]


@in_virtual_time
async def test_the_error_tells_what_is_wrong_now_not_what_was() -> None:
    world = World(EAST, WEST)
    world.next(EAST, limited(0))
    world.always = {"east": Kind.SERVER_ERROR, "west": Kind.SERVER_ERROR}
    with pytest.raises(errors.UpstreamUnavailable):
        await world.ask()


@in_virtual_time
async def test_an_error_that_is_not_the_deployments_goes_through_and_counts_against_none() -> None:
    world = World(EAST, WEST)
    world.always = {name: errors.IdentityUnavailable() for name in ("east", "west")}
    for _ in range(30):
        with pytest.raises(errors.IdentityUnavailable):
            await world.ask()
    assert len(world.calls) == 30
    assert {(one.state, one.in_flight) for one in world.pool.health()} == {("ok", 0)}


@in_virtual_time
async def test_a_call_without_a_first_event_in_time_is_left_for_the_next_deployment() -> None:
    world = World(EAST, FAR)
    world.next(EAST, 1000.0)
    assert await world.ask(first_byte=4) == "far"
    assert world.clock() == 4.0
    assert [report.outcome for report in world.reports if isinstance(report, AttemptReport)] == ["timeout", "ok"]


@in_virtual_time
async def test_a_request_ends_at_its_deadline() -> None:
    world = World(EAST, WEST)
    world.always = {"east": 1000.0, "west": 1000.0}
    with pytest.raises(errors.UpstreamTimeout):
        await world.ask(seconds=45)
    assert world.clock() == 45.0
    with pytest.raises(errors.UpstreamTimeout):
        await world.ask(seconds=0)
    assert len(world.calls) == 2


@in_virtual_time
async def test_a_callers_own_short_deadline_says_nothing_about_a_deployment() -> None:
    world = World(EAST, WEST)
    world.always = {"east": 1000.0, "west": 1000.0}
    for _ in range(50):
        with pytest.raises(errors.UpstreamTimeout):
            await world.ask(seconds=0.5)
    assert {one.state for one in world.pool.health()} == {"ok"}


@in_virtual_time
async def test_in_a_full_outage_there_are_at_most_one_and_a_half_calls_a_request() -> None:
    never = BreakerRules(in_a_row=10**9, in_a_row_alone=10**9, least_in_window=10**9)
    world = World(EAST, WEST, FAR, rules=PoolRules(breaker=never))
    world.always = {one.name: Kind.SERVER_ERROR for one in (EAST, WEST, FAR)}
    for _ in range(2000):
        with pytest.raises(errors.UpstreamUnavailable):
            await world.ask()
    assert len(world.calls) <= 1.5 * 2000 + 10


@pytest.mark.parametrize(
    "error", [AttemptFailed(Kind.INTERRUPTED), errors.UpstreamInterrupted(), errors.UpstreamTimeout()]
)
def test_an_interrupted_answer_counts_against_its_deployment(error: Exception) -> None:
    @in_virtual_time
    async def story() -> None:
        world = World(EAST, FAR)
        for _ in range(10):
            with pytest.raises(type(error)), await world.begin():
                raise error
        assert world.health(EAST).state == "faults"
        assert world.health(EAST).last_failure == "interrupted"
        assert world.health(EAST).in_flight == 0

    story()


@in_virtual_time
async def test_an_answer_that_is_refused_after_its_beginning_counts_against_no_one() -> None:
    world = World(EAST, FAR)
    for _ in range(10):
        with pytest.raises(errors.ContentFiltered), await world.begin():
            raise errors.ContentFiltered
        with pytest.raises(errors.UpstreamRejected), await world.begin():
            raise errors.UpstreamRejected
    assert world.health(EAST).state == "ok"


@in_virtual_time
async def test_a_caller_who_leaves_during_an_answer_counts_against_no_one() -> None:
    world = World(EAST, FAR)
    for _ in range(30):
        with pytest.raises(asyncio.CancelledError), await world.begin():
            raise asyncio.CancelledError
    assert (world.health(EAST).state, world.health(EAST).in_flight) == ("ok", 0)


@in_virtual_time
async def test_an_answer_gives_its_place_back_once() -> None:
    world = World(EAST)
    answer = await world.begin()
    assert world.health(EAST).in_flight == 1
    answer.ended()
    answer.ended()
    assert world.health(EAST).in_flight == 0


@in_virtual_time
async def test_each_call_is_reported_with_what_came_of_it() -> None:
    world = World(EAST, FAR)
    world.next(EAST, limited(3))
    world.next(FAR, 0.25)
    await world.ask()
    change, first, second = world.reports
    assert change == HealthChange(EAST, "rate_limited", 3.0)
    assert first == AttemptReport("chat", EAST, "rate_limited", 429, 0.0, 0.0, 1, probe=False, crossed=False)
    assert second == AttemptReport("chat", FAR, "ok", None, 250.0, 0.0, 2, probe=False, crossed=False)


@in_virtual_time
async def test_a_listener_that_fails_costs_no_answer() -> None:
    def listener(_: object) -> None:
        raise ZeroDivisionError

    world = World(EAST, listener=listener)
    assert await world.ask() == "east"
