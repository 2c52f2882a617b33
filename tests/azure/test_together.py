"""Workers of one app that are told of each other by REDIS_URL alone."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("redis", reason="the package redis is not installed")

from shared.bootstrap import Services, connect
from shared.settings import Settings
from shared.tools.toolbox import Toolbox
from tests.azure.test_shared_state import Server
from tests.conftest import App

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def server() -> Iterator[Server]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    server = Server(program)
    yield server
    server.stop()


async def seen(services: Services, state: str) -> bool:
    """Whether the pool comes to see its deployment so, within some seconds."""
    for _ in range(200):
        if services.pool.health()[0].state == state:
            return True
        await asyncio.sleep(0.05)
    return False


async def test_a_rate_limit_that_one_worker_met_is_known_to_the_others(
    app: App, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"REDIS_URL": server.url, "MAX_ATTEMPTS": "1"}
    caller = app.start(environ)
    settings = {**app.azure.environ(), **environ}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    other = connect(Settings.from_env(settings), Toolbox(()))
    try:
        # An exchange begins with a request; this one goes nowhere.
        assert other.together is not None
        other.together.state.spent("", 0, 0)
        app.azure.openai.script({"status": 429, "headers": {"retry-after": "60"}})
        response = await asyncio.to_thread(caller.post, "chat", json=HELLO)
        assert response.status_code == 429
        assert await seen(other, "rate_limited")
    finally:
        await other.close()


def test_a_redis_that_is_away_costs_no_request_its_answer_and_is_told_once(app: App) -> None:
    before = len(app.told.lines)
    caller = app.start({"REDIS_URL": "redis://127.0.0.1:9"})
    for _ in range(3):
        assert caller.post("chat", json=HELLO).status_code == 200
    app.stop()
    told = [line for line in app.told.lines[before:] if "Redis is away" in line]
    assert len(told) <= 1
    assert not any("redis" in line.lower() and "ERROR" in line for line in app.told.lines[before:])
    assert json.dumps(told).count("127.0.0.1") == 0


def test_the_sign_in_is_the_apps_own_identity(app: App) -> None:
    # Not a name of this machine, so that it counts as a server elsewhere; nothing listens there.
    caller = app.start({"REDIS_URL": "rediss://127.0.0.2:9"})
    assert caller.post("chat", json=HELLO).status_code == 200
    deadline = time.monotonic() + 10
    while "https://redis.azure.com" not in {one.query.get("resource") for one in app.azure.identity.requests}:
        assert time.monotonic() < deadline, "it asked for no token"
        assert caller.post("chat", json=HELLO).status_code == 200
