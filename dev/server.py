"""uvicorn as the extension runs it, with an end that is quick and leaves nothing open."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

PATIENCE = 0.5
"""Seconds between the steps of the end, for what does not end by itself."""


def listen(port: int, host: str = "127.0.0.1") -> socket.socket:
    """A bound loopback socket; port 0 takes a free one.

    Raises:
        OSError: the port is taken, or not for us.
        OverflowError: it is no port number.
    """
    # With its protocol named, asyncio turns Nagle's algorithm off, as it does for the worker's own server; without that
    # every answer on a kept connection would wait 40 ms for an acknowledgement.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except (OSError, OverflowError):
        bound.close()
        raise
    return bound


class Server(uvicorn.Server):
    """Serves `app` until `stop()` on the running loop: plain asyncio and httptools, as the platform's worker.

    `grace` (seconds) is what answers under way are given at the end. Then their connections are cut, which
    the app sees as a caller who left, and what still runs after `PATIENCE` is cancelled.
    """

    def __init__(self, app: ASGIApp, *, grace: float, on_started: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        super().__init__(config)
        self._grace = grace
        self._on_started = on_started
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Begins the end. Call it on the server's loop."""
        self._stop.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens, then says so."""
        await super().startup(sockets)
        self._on_started()

    async def main_loop(self) -> None:
        """Keeps the Date header fresh until the end; the original polls ten times a second."""
        while not self._stop.is_set():
            await self.on_tick(0)
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Grace, then disconnection, then cancellation; returns when no connection and no task is left."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        await self._turn()  # what was accepted last becomes a connection
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._settle(self._grace)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await self._settle(PATIENCE)
        for task in list(self.server_state.tasks):
            task.cancel()
        await self._settle(PATIENCE)
        for server in self.servers:
            with suppress(TimeoutError):
                await asyncio.wait_for(server.wait_closed(), PATIENCE)

    async def _settle(self, seconds: float) -> None:
        if self.server_state.tasks:
            await asyncio.wait(list(self.server_state.tasks), timeout=seconds)
        await self._turn()  # a finished task's connection closes itself

    @staticmethod
    async def _turn() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
