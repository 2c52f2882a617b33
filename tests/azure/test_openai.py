"""One turn of a model through real services: which resource it goes to, and what the pool knows afterwards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from dev.emulator import Emulators
from shared.azure.pool import DeploymentHealth
from shared.azure.responses_api import Turn, user_message
from shared.bootstrap import Services, connect
from shared.call import Call
from shared.errors import AppError, UpstreamRejected
from shared.events import Event, Finished, Started
from shared.settings import Settings
from shared.tools.toolbox import Toolbox

NAME = "gpt-5.4-mini"


@pytest.fixture
def west() -> Iterator[Emulators]:
    """A second resource, which takes the same tokens."""
    with Emulators.start() as west:
        yield west


@pytest.fixture
async def services(azure: Emulators, west: Emulators, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Services]:
    """The services for one model on two resources, of which `azure` comes first."""
    resources = azure.openai.url, west.openai.url
    listed = [{"deployment": NAME, "endpoint": url, "priority": number} for number, url in enumerate(resources, 1)]
    models = {"deep": {"deployments": listed}, "here": {"deployments": [{**listed[0]}]}}
    environ = {**azure.environ(), "MODELS": json.dumps(models), "MAX_ATTEMPTS": "2"}
    # azure-identity reads the platform's variables from the process itself.
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_env(environ)
    assert settings.mistakes == ()
    services = connect(settings, Toolbox(()))
    yield services
    await services.close()


async def ask(services: Services, *items: dict[str, Any], model: str = "deep", **options: Any) -> list[Event]:
    turn = Turn("1", services.models.choose(model), [user_message("Hello", []), *items], max_output_tokens=100)
    call = Call("1", asyncio.get_running_loop().time() + 10)
    return [event async for event in services.openai.stream(turn, call, **options)]


def went_to(events: list[Event]) -> str:
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    return events[0].endpoint


def health(services: Services, of: Emulators) -> DeploymentHealth:
    (found,) = [one for one in services.pool.health() if one.endpoint == of.openai.url]
    return found


def reasoning(of: Emulators, number: int = 1) -> dict[str, Any]:
    """Encrypted reasoning that this resource made."""
    name = f"rs_{number}"
    return {"type": "reasoning", "id": name, "summary": [], "encrypted_content": f"gAAAAA-{of.openai.resource}-{name}"}


async def test_a_run_stays_with_the_resource_that_it_names(
    services: Services, azure: Emulators, west: Emulators
) -> None:
    assert went_to(await ask(services)) == azure.openai.url
    events = await ask(services, reasoning(west), prefer=west.openai.url)
    assert went_to(events) == west.openai.url
    (sent,) = west.openai.requests
    assert [item["type"] for item in sent.json()["input"]] == ["message", "reasoning"]


async def test_reasoning_is_left_behind_where_another_resource_must_answer(
    services: Services, azure: Emulators, west: Emulators
) -> None:
    west.openai.script({"status": 503})
    call = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "now", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c1", "output": "noon"}
    events = await ask(services, reasoning(west), call, output, prefer=west.openai.url)
    assert went_to(events) == azure.openai.url
    (refused,), (sent,) = west.openai.requests, azure.openai.requests
    assert [item["type"] for item in refused.json()["input"]][1] == "reasoning"
    kept = sent.json()["input"]
    assert [item["type"] for item in kept] == ["message", "function_call", "function_call_output"]
    assert "id" not in kept[1]


async def test_reasoning_that_the_resource_cannot_read_is_left_out_and_the_turn_sent_once_more(
    services: Services, azure: Emulators, west: Emulators
) -> None:
    assert went_to(await ask(services, reasoning(west))) == azure.openai.url
    assert len(azure.openai.requests) == 2
    assert west.openai.requests == []
    azure.openai.script({"status": 400, "error": {"code": "invalid_encrypted_content", "message": "x"}})
    with pytest.raises(UpstreamRejected):
        await ask(services)


@pytest.mark.parametrize(
    ("step", "state"),
    [
        ({"status": 401, "error": {"code": "PermissionDenied", "message": "x"}}, "forbidden"),
        ({"status": 403}, "forbidden"),
        ({"status": 404, "error": {"code": "DeploymentNotFound", "message": "x"}}, "not_found"),
        ({"status": 429, "headers": {"retry-after": "86400"}}, "drained"),
    ],
)
async def test_what_only_an_operator_can_mend_is_left_alone_for_a_minute_and_shows(
    services: Services, azure: Emulators, west: Emulators, step: dict[str, Any], state: str
) -> None:
    azure.openai.script(step)
    assert went_to(await ask(services)) == west.openai.url
    shown = health(services, azure)
    assert (shown.state, shown.models, shown.in_flight) == (state, ("deep", "here"), 0)
    assert 55 < shown.seconds <= 60
    assert health(services, west).state == "ok"


async def test_bad_requests_leave_no_trace_in_the_health(services: Services, azure: Emulators) -> None:
    azure.openai.script_forever({"status": 400})
    for _ in range(12):
        with pytest.raises(UpstreamRejected):
            await ask(services)
    shown = health(services, azure)
    assert (shown.state, shown.last_failure, shown.in_flight) == ("ok", None, 0)


async def test_what_is_left_of_the_minute_is_read_from_the_answers(services: Services, azure: Emulators) -> None:
    assert health(services, azure).requests_left is None
    await ask(services)
    left = health(services, azure)
    assert left.requests_left is not None
    assert left.requests_left < azure.openai.limit_requests
    assert left.tokens_left is not None


async def test_an_answer_gives_its_place_back_however_it_ends(services: Services, azure: Emulators) -> None:
    for step in ({}, {"truncate": 1}, {"status": 500}, {"chunks": ["a ", "b"], "gate": "never", "after": 1}):
        azure.openai.script(step)
        turn = Turn("1", services.models.choose("here"), [user_message("Hello", [])], max_output_tokens=100)
        call = Call("1", asyncio.get_running_loop().time() + 0.5)
        events = services.openai.stream(turn, call)
        try:
            async for _ in events:
                assert health(services, azure).in_flight <= 1
        except (AppError, TimeoutError):
            pass
        finally:
            await events.aclose()
        assert health(services, azure).in_flight == 0
