"""The control routes, by which another process scripts and watches an emulator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI, NotFoundError

from dev.emulator import Emulators

ASKED: dict[str, Any] = {"model": "gpt-4.1-mini", "input": "Hello"}


@pytest.fixture
async def control(emulators: Emulators) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(emulators.openai.url) as made:
        yield made


async def state(control: aiohttp.ClientSession) -> Any:
    """What the emulator says of itself."""
    async with control.get("/control/state") as answer:
        return await answer.json()


async def test_steps_are_queued_repeated_and_forgotten(control: aiohttp.ClientSession, client: AsyncOpenAI) -> None:
    script = {"steps": [{"text": "one"}], "forever": {"text": "more"}}
    async with control.post("/control/script", json=script) as answer:
        assert (await answer.json())["scripted"] == 1
    told = [(await client.responses.create(**ASKED)).output_text for _ in range(3)]
    assert told == ["one", "more", "more"]
    async with control.delete("/control/script") as answer:
        assert answer.status == 200
    assert "local emulator" in (await client.responses.create(**ASKED)).output_text


async def test_requests_are_listed_from_where_one_stopped_and_cleared(
    control: aiohttp.ClientSession, client: AsyncOpenAI
) -> None:
    await client.responses.create(**ASKED)
    _ = [model async for model in client.models.list()]
    async with control.get("/control/requests") as answer:
        first, second = (await answer.json())["requests"]
    assert (first["method"], first["path"], first["json"]) == ("POST", "/openai/v1/responses", ASKED)
    assert first["headers"]["authorization"].startswith("Bearer ")
    assert (second["method"], second["body"], second["json"]) == ("GET", "", None)
    async with control.get("/control/requests", params={"after": "1"}) as answer:
        assert (await answer.json())["requests"] == [second]
    async with control.delete("/control/requests") as answer:
        assert (await answer.json())["requests"] == 0


async def test_a_gate_is_opened(emulators: Emulators, control: aiohttp.ClientSession, client: AsyncOpenAI) -> None:
    emulators.openai.script({"gate": "go", "text": "gone"})
    asking = asyncio.create_task(client.responses.create(**ASKED))
    assert await asyncio.to_thread(emulators.openai.wait_gate, "go")
    assert (await state(control))["in_flight"] == 1
    async with control.post("/control/gates/go") as answer:
        assert answer.status == 200
    assert (await asking).output_text == "gone"


async def test_settings_are_read_and_changed(emulators: Emulators, control: aiohttp.ClientSession) -> None:
    assert (await state(control))["role_granted"] is True
    async with control.patch("/control/state", json={"role_granted": False, "deployments": ["b", "a"]}) as answer:
        assert (await answer.json())["deployments"] == ["a", "b"]
    assert emulators.openai.role_granted is False
    assert emulators.openai.deployments == {"a", "b"}


async def test_everything_is_forgotten_at_once(
    emulators: Emulators, control: aiohttp.ClientSession, client: AsyncOpenAI
) -> None:
    await client.responses.create(**ASKED)
    emulators.openai.script({"text": "x"})
    async with control.delete("/control") as answer:
        assert answer.status == 200
    assert (emulators.openai.requests, emulators.openai.scripted) == ([], 0)


async def test_what_was_set_is_forgotten_too(emulators: Emulators, control: aiohttp.ClientSession) -> None:
    before = await state(control)
    changed = {"role_granted": False, "deployments": [], "reasoning": ["gpt-4.1-mini"], "pace": 1}
    async with control.patch("/control/state", json=changed) as answer:
        assert (await answer.json()).items() >= changed.items()
    emulators.openai.limit_tokens = 1
    emulators.openai.audiences.clear()
    emulators.openai.clock = lambda: 0
    async with control.delete("/control") as answer:
        assert await answer.json() == before
    assert (emulators.openai.limit_tokens, len(emulators.openai.audiences)) == (1_000_000, 1)
    assert emulators.openai.clock() > 0


async def test_what_is_remembered_is_what_one_comes_back_to_however_often(emulators: Emulators) -> None:
    emulators.openai.deployments.add("mine")
    emulators.remember()
    for _ in range(2):
        emulators.openai.deployments.discard("mine")
        emulators.reset()
        assert "mine" in emulators.openai.deployments


async def test_a_stored_response_is_forgotten(control: aiohttp.ClientSession, client: AsyncOpenAI) -> None:
    stored = await client.responses.create(**ASKED)
    async with control.delete("/control") as answer:
        assert answer.status == 200
    with pytest.raises(NotFoundError):
        await client.responses.retrieve(stored.id)


async def test_the_identity_endpoint_has_them_too(emulators: Emulators) -> None:
    async with aiohttp.ClientSession(emulators.identity.url) as control:
        async with control.post("/control/script", json={"steps": [{"status": 500}]}) as answer:
            assert (await answer.json())["scripted"] == 1
        async with control.patch("/control/state", json={"life": 60, "client_ids": []}) as answer:
            assert (await answer.json())["life"] == 60


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "script", {"steps": [{"no": 1}]}),
        ("POST", "script", {"steps": 5}),
        ("POST", "script", []),
        ("PATCH", "state", {"port": 1}),
        ("PATCH", "state", {"client_ids": []}),
        ("GET", "requests?after=x", None),
    ],
)
async def test_what_is_not_understood_is_a_400(
    control: aiohttp.ClientSession, method: str, path: str, body: object
) -> None:
    async with control.request(method, f"/control/{path}", json=body) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]


async def test_an_unknown_control_route_is_a_404(control: aiohttp.ClientSession) -> None:
    async with control.get("/control/nothing") as answer:
        assert answer.status == 404


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}])
async def test_a_web_page_cannot_use_them(control: aiohttp.ClientSession, headers: dict[str, str]) -> None:
    async with control.delete("/control", headers=headers) as answer:
        assert answer.status == 403
