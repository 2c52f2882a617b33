"""Workers that tell each other of cool-downs and counts, over a real Redis."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace

import pytest

pytest.importorskip("redis", reason="the package redis is not installed")

import redis.asyncio

from shared.azure.calls import Attempt
from shared.azure.outcomes import AttemptFailed, Kind
from shared.azure.pool import Pool
from shared.azure.shared_state import RedisState
from shared.models import Deployment, Model
from tests.azure.world import EAST, FAR, chat

KEY = f"{EAST.endpoint}|{EAST.name}"


class Server:
    """A redis-server of our own on a loopback port, which can be stopped and started again."""

    def __init__(self, program: str) -> None:
        self._program = program
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        arguments = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen([self._program, *arguments], stdout=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)
        raise RuntimeError("redis-server did not start")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    server = Server(program)
    yield server
    server.stop()


@pytest.fixture
async def admin(server: Server) -> AsyncIterator[redis.asyncio.Redis]:
    """A connection for the test itself, to an empty server."""
    client: redis.asyncio.Redis = redis.asyncio.Redis.from_url(server.url, decode_responses=True)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
async def worker(server: Server) -> AsyncIterator[Callable[..., tuple[Pool, RedisState]]]:
    """Make workers: each has a pool and its side of the shared state."""
    states: list[RedisState] = []

    def make(url: str = "", token: Callable[[], object] | None = None, **settings: float) -> tuple[Pool, RedisState]:
        options: dict[str, float] = {"every": 0.01} | settings
        state = RedisState(url or server.url, token=token, **options)  # type: ignore[arg-type]
        states.append(state)
        return Pool([chat(EAST, FAR)], shared=state), state

    yield make
    for state in states:
        await state.close()


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds, here or in the server."""
    async with asyncio.timeout(10):
        while True:
            holds = condition()
            if await holds if isinstance(holds, Awaitable) else holds:
                return
            await asyncio.sleep(0.005)


async def ask(pool: Pool, failure: AttemptFailed | None = None, *, model: Model | None = None, tokens: int = 0) -> str:
    """Send a request; the first deployment fails as told. Return the name of the one that answered."""

    async def attempt(deployment: Deployment, _: Attempt) -> str:
        if failure is not None and deployment == EAST:
            raise failure
        return deployment.name

    deadline = time.monotonic() + 30
    with await pool.run(model or chat(EAST, FAR), attempt, deadline=deadline, tokens=tokens) as answer:
        return answer.value


def east(pool: Pool) -> str:
    return pool.health()[0].state


def token_for(user: str, serial: int) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"oid": user, "serial": serial}).encode()).decode().rstrip("=")
    return f"head.{claims}.signature"


Make = Callable[..., tuple[Pool, RedisState]]


async def test_a_429_that_one_worker_met_is_kept_by_the_others(worker: Make, admin: object) -> None:
    (one, _), (two, _) = worker(), worker()
    await ask(two)
    assert await ask(one, AttemptFailed(Kind.RATE_LIMITED, retry_after=30)) == "far"
    await until(lambda: east(two) == "rate_limited")
    assert await ask(two) == "far"
    assert 25 < two.health()[0].seconds <= 30.5


async def test_what_other_workers_sent_is_used_up_for_this_one(server: Server, admin: object) -> None:
    limited = chat(replace(EAST, tokens_per_minute=1_000_000))
    states = [RedisState(server.url, every=0.01, wall=lambda: 1_000_000.0) for _ in range(2)]
    pools = [Pool([limited], shared=state, wall=lambda: 1_000_000.0) for state in states]
    for pool in pools:
        await ask(pool, model=limited, tokens=100_000)
    await until(lambda: all(pool.health()[0].tokens_left == 800_000 for pool in pools))
    for state in states:
        await state.close()


async def test_while_redis_is_away_the_pool_goes_on_alone_and_says_so_once(
    server: Server, worker: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "app.pool")
    pool, state = worker()
    await ask(pool)
    server.stop()
    try:
        await until(lambda: state.away)
        for _ in range(20):
            await ask(pool)
            await asyncio.sleep(0.01)
    finally:
        server.start()
    await until(lambda: not state.away)
    first, second = [record.getMessage() for record in caplog.records]
    assert first.startswith("Redis is away (")
    assert second.startswith("Redis is back")


async def test_a_redis_that_never_answers_costs_a_request_nothing(worker: Make) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    pool, state = worker(f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}", patience=1.0)
    before = time.perf_counter()
    for _ in range(50):
        await ask(pool)
    assert time.perf_counter() - before < 1.0
    await until(lambda: state.away)
    await state.close()
    listener.close()
    await listener.wait_closed()


async def test_what_makes_no_sense_in_redis_does_no_harm(worker: Make, admin: redis.asyncio.Redis) -> None:
    await admin.zadd("pool:cooling", {KEY: 1e15, "unknown|name": 1e15, "": 1e15})
    pool, _ = worker()
    await ask(pool)
    await until(lambda: east(pool) == "rate_limited")
    assert pool.health()[0].seconds <= 120
    await admin.set("pool:cooling", "not a sorted set")
    assert await ask(pool) == "far"


async def test_the_sign_in_is_the_object_id_and_token_and_is_renewed_on_the_open_connection(
    worker: Make, admin: redis.asyncio.Redis
) -> None:
    first, second = token_for("worker", 1), token_for("worker", 2)
    passwords = [f"+{first}", f"+{second}"]
    await admin.acl_setuser("worker", enabled=True, passwords=passwords, keys=["pool:*"], categories=["+@all"])
    current = first

    async def token() -> str:
        return current

    async def signed_in() -> bool:
        return any(one["user"] == "worker" for one in await admin.client_list())

    async def signed_in_again() -> bool:
        return "cmdstat_auth" in await admin.info("commandstats")

    pool, state = worker(token=token)
    await ask(pool)
    await until(signed_in)
    (before,) = [one["id"] for one in await admin.client_list() if one["user"] == "worker"]
    current = second
    await admin.config_resetstat()
    await ask(pool)
    await until(signed_in_again)
    (after,) = [one["id"] for one in await admin.client_list() if one["user"] == "worker"]
    assert before == after
    assert not state.away
    await admin.acl_deluser("worker")


@pytest.mark.parametrize("refused", [token_for("stranger", 1), "no token at all", "a.b.c"])
async def test_a_refused_sign_in_is_told_without_the_token(
    refused: str, server: Server, worker: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def token() -> str:
        return refused

    pool, state = worker(token=token)
    await ask(pool)
    await until(lambda: state.away)
    assert refused not in caplog.text
    assert await ask(pool) == "east"


async def test_without_requests_the_connection_is_closed_and_opened_again_for_the_next(
    worker: Make, admin: redis.asyncio.Redis
) -> None:
    async def connected() -> bool:
        return len(await admin.client_list()) == 2

    async def alone() -> bool:
        return len(await admin.client_list()) == 1

    pool, state = worker(idle=0.1)
    for _ in range(2):
        await ask(pool)
        await until(connected)
        await until(alone)
    assert not state.away


@pytest.mark.parametrize(
    ("url", "with_token"),
    [
        ("rediss://:secret@cache.redis.azure.net:10000", True),
        ("rediss://user@cache.redis.azure.net:10000", True),
        ("rediss://cache.redis.azure.net:10000?password=secret", True),
        ("redis://cache.redis.azure.net:10000", True),
        ("https://cache.redis.azure.net", False),
        ("cache.redis.azure.net:10000", False),
    ],
)
def test_a_url_with_a_password_or_without_encryption_is_refused_without_being_repeated(
    url: str, with_token: bool
) -> None:
    async def token() -> str:
        return ""

    with pytest.raises(ValueError, match="must") as caught:
        RedisState(url, token=token if with_token else None)
    assert "secret" not in str(caught.value)


def test_an_encrypted_url_and_one_on_this_machine_are_taken() -> None:
    async def token() -> str:
        return ""

    RedisState("rediss://cache.redis.azure.net:10000", token=token)
    RedisState("redis://127.0.0.1:6379", token=token)
    RedisState("redis://localhost:6379", token=token)
