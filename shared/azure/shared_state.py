"""What the workers of one app tell each other through Redis: cool-downs, and what each sent in this minute.

It is optional. Nothing here is waited for by a request: counts are gathered and exchanged once a second, in one round
trip, in the background. While Redis is away the pool goes on with what it knows itself.

    pool:minute:<n>   hash   "<endpoint>|<deployment>|requests" and "...|tokens" -> what all workers sent in minute n
    pool:cooling      sorted set   "<endpoint>|<deployment>" -> the second since the epoch until which it is left alone

The sign-in is this app's own identity (the user is the token's object id, the password the token), with a new AUTH when
the token changes. The package redis-entraid would bring a second credential with its own blocking token requests.
Protocol: https://learn.microsoft.com/azure/redis/entra-for-authentication
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from shared.azure.calls import Hear
from shared.endpoint import redis_problem

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger("app.pool")

SCOPE = "https://redis.azure.com/.default"
"""What the token must be for."""

COOLING = "pool:cooling"


class RedisState:
    """This worker's side. `url` is as rediss://host:port, or redis:// on this machine; `token` gives a token for SCOPE.

    Times are in seconds: `every` between exchanges, `patience` for one of them, and after `idle` without a request
    they rest. `wall` is the time since the epoch.

    Raises:
        ValueError: the URL holds a password, or would send the token unencrypted.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Callable[[], Awaitable[str]] | None = None,
        every: float = 1.0,
        patience: float = 0.5,
        idle: float = 60.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        if problem := redis_problem(url, with_token=token is not None):
            raise ValueError(problem)
        self._url = url
        self._token = token
        self._every = every
        self._patience = patience
        self._idle = idle
        self._wall = wall
        self._hear: Hear | None = None
        self._redis: Redis | None = None
        self._fresh = self._signed_in_with = ""
        self._task: asyncio.Task[None] | None = None
        self._last_use = 0.0
        self._minute = -1
        self._unsent: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._sent: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._cooling: dict[str, float] = {}
        self.away = False

    def listen(self, hear: Hear) -> None:
        """Say who is to hear of the other workers."""
        self._hear = hear

    def spent(self, key: str, requests: int, tokens: int) -> None:
        """A call was sent, or (below zero) used less than was thought."""
        self._turn()
        unsent = self._unsent[key]
        unsent[0] += requests
        unsent[1] += tokens
        self._wake()

    def cooling(self, key: str, seconds: float) -> None:
        """A deployment asked to be left alone."""
        self._cooling[key] = max(self._cooling.get(key, 0.0), self._wall() + seconds)
        self._wake()

    async def close(self) -> None:
        """End the exchange and close the connection."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._hang_up()

    def _wake(self) -> None:
        self._last_use = time.monotonic()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._keep_in_step())

    def _turn(self) -> int:
        minute = int(self._wall() // 60)
        if minute != self._minute:
            self._minute = minute
            self._unsent.clear()
            self._sent.clear()
        return minute

    async def _keep_in_step(self) -> None:
        while time.monotonic() - self._last_use < self._idle:
            try:
                await self._exchange()
            except Exception as error:  # noqa: BLE001 - whatever it is, the pool goes on alone
                await self._hang_up()
                if not self.away:
                    # The type only: texts of connection errors may name what was sent.
                    log.warning("Redis is away (%s): this worker's pool goes on alone.", type(error).__name__)
                self.away = True
            else:
                if self.away:
                    log.warning("Redis is back: the workers' pools are in step again.")
                self.away = False
            await asyncio.sleep(self._every * (5 if self.away else 1))
        await self._hang_up()

    async def _exchange(self) -> None:
        """Tell what is new here, and hear all that is known: one round trip."""
        minute = self._turn()
        # Taken before it is sent, so that a lost answer can't make it count twice.
        unsent, self._unsent = self._unsent, defaultdict(lambda: [0, 0])
        cooling, self._cooling = self._cooling, {}
        if self._token is not None:
            self._fresh = await self._token()
        redis = await self._connect()
        counts = f"pool:minute:{minute}"
        async with asyncio.timeout(self._patience):
            await self._sign_in_again(redis)
            pipeline = redis.pipeline(transaction=False)
            for key, (requests, tokens) in unsent.items():
                pipeline.hincrby(counts, f"{key}|requests", requests)
                pipeline.hincrby(counts, f"{key}|tokens", tokens)
            pipeline.expire(counts, 180)
            if cooling:
                pipeline.zadd(COOLING, cooling, gt=True)
            pipeline.zremrangebyscore(COOLING, "-inf", self._wall())
            pipeline.expire(COOLING, 600)
            pipeline.zrange(COOLING, 0, -1, withscores=True)
            pipeline.hgetall(counts)
            *_, cooled, totals = await pipeline.execute()
        if minute != self._minute:
            return
        for key, (requests, tokens) in unsent.items():
            sent = self._sent[key]
            sent[0] += requests
            sent[1] += tokens
        self._tell(minute, dict(cooled), totals)

    def _tell(self, minute: int, cooled: Mapping[str, float], totals: Mapping[str, str]) -> None:
        if self._hear is None:
            return
        now = self._wall()
        for key in {name.rpartition("|")[0] for name in totals} | set(cooled):
            mine = self._sent.get(key, (0, 0))
            self._hear(
                key,
                cooling=max(0.0, float(cooled.get(key, 0.0)) - now),
                minute=minute,
                requests=max(0, int(totals.get(f"{key}|requests", 0)) - mine[0]),
                tokens=max(0, int(totals.get(f"{key}|tokens", 0)) - mine[1]),
            )

    async def _connect(self) -> Redis:
        if self._redis is None:
            aio: Any = await asyncio.to_thread(import_module, "redis.asyncio")
            retry: Any = await asyncio.to_thread(import_module, "redis.asyncio.retry")
            backoff: Any = await asyncio.to_thread(import_module, "redis.backoff")
            self._redis = aio.Redis.from_url(
                self._url,
                decode_responses=True,
                protocol=2,
                max_connections=1,
                socket_timeout=self._patience,
                socket_connect_timeout=self._patience,
                retry=retry.Retry(backoff.NoBackoff(), 0),
                driver_info=None,
                credential_provider=None if self._token is None else self,
            )
        return self._redis

    async def get_credentials_async(self) -> tuple[str, str]:
        """The user and the password of a new connection, as the redis client asks for them."""
        self._signed_in_with = self._fresh
        return _object_id(self._fresh), self._fresh

    async def _sign_in_again(self, redis: Redis) -> None:
        """Renew the sign-in of the open connection: the server closes it when the token it has seen expires."""
        if self._signed_in_with not in ("", self._fresh):
            await redis.auth(self._fresh, _object_id(self._fresh))
            self._signed_in_with = self._fresh

    async def _hang_up(self) -> None:
        redis, self._redis = self._redis, None
        self._signed_in_with = ""
        if redis is not None:
            with suppress(Exception):
                await redis.aclose()


def _object_id(token: str) -> str:
    """The token's object id, which is the name of its user in Redis. The server checks the token, not this app."""
    try:
        claims = token.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["oid"])
    except (IndexError, KeyError, TypeError, ValueError):
        raise ValueError("the token has no object id") from None
