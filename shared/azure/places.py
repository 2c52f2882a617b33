"""How many calls at once: places for each deployment and in all, and a short queue, first come first served."""

from __future__ import annotations

import asyncio
import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass, field


class QueueFull(Exception):
    """No place is free, and as many already wait as may."""


@dataclass(eq=False, slots=True)
class Lane:
    """The places of one deployment; `limit` is None for no limit of its own."""

    limit: int | None = None
    busy: int = 0


@dataclass(order=True, slots=True)
class _Waiter:
    turn: int
    lanes: Sequence[Lane] = field(compare=False)
    given: asyncio.Future[Lane] = field(compare=False)


class Places:
    """Counts calls in progress, and lets those beyond the limits wait in the order of their `turn`.

    A place is never free while someone waits for it, so that a newcomer cannot overtake.
    """

    def __init__(self, total: int | None = None, queue: int = 100) -> None:
        self._total = math.inf if total is None else total
        self._queue = queue
        self._waiters: list[_Waiter] = []
        self.busy = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiters)

    def free(self, lane: Lane) -> bool:
        """Say whether the lane has a place."""
        return self.busy < self._total and (lane.limit is None or lane.busy < lane.limit)

    def take(self, lane: Lane) -> None:
        """Take a place; there must be one."""
        self.busy += 1
        lane.busy += 1

    def give(self, lane: Lane) -> None:
        """Give a place back, to the first who waits for one."""
        self.busy -= 1
        lane.busy -= 1
        for waiter in self._waiters if self.busy < self._total else ():
            if self._serve(waiter):
                break

    async def wait(self, lanes: Sequence[Lane], turn: int, seconds: float) -> Lane | None:
        """Wait for a place in any of the lanes; None when the time is over. Who is cancelled leaves no trace.

        Raises: QueueFull.
        """
        if len(self._waiters) >= self._queue:
            raise QueueFull
        waiter = _Waiter(turn, lanes, asyncio.get_running_loop().create_future())
        bisect.insort(self._waiters, waiter)
        try:
            async with asyncio.timeout(seconds):
                return await waiter.given
        except BaseException as ended:
            if waiter.given.done() and not waiter.given.cancelled():
                if isinstance(ended, TimeoutError):
                    return waiter.given.result()
                self.give(waiter.given.result())
            else:
                self._waiters.remove(waiter)
            if isinstance(ended, TimeoutError):
                return None
            raise

    def _serve(self, waiter: _Waiter) -> bool:
        lane = next((lane for lane in waiter.lanes if self.free(lane)), None)
        if lane is None or waiter.given.done():
            return False
        self._waiters.remove(waiter)
        self.take(lane)
        waiter.given.set_result(lane)
        return True
