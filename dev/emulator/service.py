"""What every emulated service has: recorded requests, a script, gates, and an eye on callers who leave."""

from __future__ import annotations

import abc
import asyncio
import copy
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic

from aiohttp import web

from dev.emulator.gates import Gates
from dev.emulator.script import Script, StepT

LIVE = frozenset({"requests", "port", "in_flight", "cancellations", "closing"})
"""Members that tell what happens, not how the service is set."""


@dataclass(frozen=True)
class Recorded:
    """A request as it came: `headers` with lower-cased names, `query` decoded, `body` the raw bytes.

    `peer_port` is the caller's, so one for each connection.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    peer_port: int = 0

    def json(self) -> Any:
        """The body, decoded from JSON. Raises ValueError when it is not."""
        return json.loads(self.body)


class Exchange:
    """One request being answered, and the ways to break the connection under it."""

    def __init__(self, request: web.Request, recorded: Recorded) -> None:
        self.request = request
        self.recorded = recorded
        self.finished = False

    def drop(self, *, reset: bool) -> ConnectionError:
        """Cut the connection, by a TCP reset if asked; returns what the caller is to raise."""
        self.finished = True
        transport = self.request.transport
        if transport is not None:
            connection = transport.get_extra_info("socket")
            if reset and connection is not None:
                # Lingering for no time makes the kernel send RST instead of FIN.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        return ConnectionResetError("cut by the emulator")


class Service(abc.ABC, Generic[StepT]):
    """An emulated service on its own loopback port. Its public members are safe to use from any thread.

    requests: all that came, oldest first (control requests apart). clock: what the service takes for now, in epoch
    seconds; tests may set it. in_flight: requests being answered. cancellations: callers who left before the end.
    keep: how many requests (and stored responses) are kept; older ones are forgotten.
    """

    def __init__(self, kind: type[StepT]) -> None:
        self.requests: list[Recorded] = []
        self.clock: Callable[[], float] = time.time
        self.port = 0
        self.in_flight = 0
        self.cancellations = 0
        self.closing = False
        self.keep = 10_000
        self._script = Script(kind)
        self._gates = Gates()
        self._changed = threading.Condition()
        self._unseen = 0
        self._as_started: dict[str, Any] = {}

    @property
    def url(self) -> str:
        """Where the service listens, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def script(self, *steps: Mapping[str, Any]) -> None:
        """Queue steps, each for one request. Raises BadStep when one is not understood."""
        self._script.add(*steps)

    def script_forever(self, step: Mapping[str, Any]) -> None:
        """Repeat this step for every request that finds the queue empty, until `clear`."""
        self._script.forever(step)

    @property
    def scripted(self) -> int:
        """How many queued steps no request has taken yet."""
        return len(self._script)

    def clear_script(self) -> None:
        """Forget the steps to come."""
        self._script.clear()

    def clear(self) -> None:
        """Forget steps, records, gates and cancellations; connections that hang or wait at a gate are cut."""
        self._script.clear()
        self._gates.reset()
        self.requests.clear()
        with self._changed:
            self.cancellations = self._unseen = 0

    def remember(self) -> None:
        """Take what is set now for what `reset` comes back to."""
        members = {name: value for name, value in vars(self).items() if not name.startswith("_") and name not in LIVE}
        self._as_started = copy.deepcopy(members)

    def reset(self) -> None:
        """Forget everything, as `clear` does, and everything that was set since `remember`."""
        self.clear()
        for name, value in copy.deepcopy(self._as_started).items():
            setattr(self, name, value)

    def open_gate(self, name: str) -> None:
        """Let the requests at this gate go on, and those to come."""
        self._gates.open(name)

    def wait_gate(self, name: str, timeout: float = 5) -> bool:
        """Block until a request has come to this gate; False after `timeout` seconds."""
        return self._gates.wait_reached(name, timeout)

    def wait_requests(self, count: int = 1, timeout: float = 5) -> bool:
        """Block until `count` requests are recorded; False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.requests) >= count, timeout)

    def wait_cancelled(self, timeout: float = 5) -> bool:
        """Block until a caller closed the connection of an unfinished answer; each is seen once.

        False after `timeout` seconds. Under asyncio call it by `asyncio.to_thread`, or the caller cannot leave.
        """
        with self._changed:
            seen = self._changed.wait_for(lambda: self._unseen > 0, timeout)
            self._unseen -= seen
            return seen

    def wait_idle(self, timeout: float = 5) -> bool:
        """Block until no request is being answered; False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self.in_flight == 0, timeout)

    @abc.abstractmethod
    async def answer(self, exchange: Exchange) -> web.StreamResponse:
        """Answer one request."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Record a request, answer it, and notice if its caller leaves before the end."""
        exchange: Exchange | None = None
        self._count(entered=1)
        try:
            recorded = Recorded(
                request.method,
                request.path,
                dict(request.query),
                {name.lower(): value for name, value in request.headers.items()},
                await request.read(),
                request.transport.get_extra_info("peername")[1] if request.transport else 0,
            )
            exchange = Exchange(request, recorded)
            with self._changed:
                self.requests.append(recorded)
                del self.requests[: -self.keep]
                self._changed.notify_all()
            return await self.answer(exchange)
        except (asyncio.CancelledError, ConnectionError):
            if not self.closing and not (exchange and exchange.finished):
                self._count(cancelled=1)
            # To the server this is what ends a request quietly: a ConnectionError would be logged, and answered.
            raise asyncio.CancelledError from None
        finally:
            self._count(entered=-1)

    async def obstruct(self, exchange: Exchange, step: StepT) -> None:
        """Do to this request what the step says should happen before any answer."""
        if step.delay:
            await asyncio.sleep(step.delay)
        if step.reset in (True, "before"):
            raise exchange.drop(reset=True)
        if step.after == 0:
            await self.hold(exchange, step)

    async def hold(self, exchange: Exchange, step: StepT) -> None:
        """Keep this request at the step's gate, or for good if the step hangs."""
        if step.hang:
            await self._gates.wait(None)
            raise exchange.drop(reset=False)
        if step.gate is not None and not await self._gates.wait(step.gate):
            raise exchange.drop(reset=False)

    def release(self) -> None:
        """Send away every request that waits: the service is closing."""
        self.closing = True
        self._gates.reset()

    def _count(self, *, entered: int = 0, cancelled: int = 0) -> None:
        with self._changed:
            self.in_flight += entered
            self.cancellations += cancelled
            self._unseen += cancelled
            self._changed.notify_all()
