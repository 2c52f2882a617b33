"""Gates: places where a request waits until a test lets it go on."""

from __future__ import annotations

import asyncio
import threading


class Gates:
    """Named gates for requests on the emulators' loop, opened and watched from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open: set[str] = set()
        self._reached: set[str] = set()
        self._waiting: list[tuple[str | None, asyncio.Future[bool]]] = []

    async def wait(self, name: str | None) -> bool:
        """Wait here until the gate is open; a gate without a name never opens. False when the gates were reset."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        with self._changed:
            if name is not None:
                self._reached.add(name)
                self._changed.notify_all()
                if name in self._open:
                    return True
            self._waiting.append((name, future))
        try:
            return await future
        finally:
            with self._changed:
                self._waiting = [each for each in self._waiting if each[1] is not future]

    def open(self, name: str) -> None:
        """Open a gate; it stays open until the reset."""
        with self._changed:
            self._open.add(name)
            waiting = [future for waited, future in self._waiting if waited == name]
        for future in waiting:
            _settle(future, True)

    def wait_reached(self, name: str, timeout: float) -> bool:
        """Block until a request has come to this gate; False after `timeout` seconds without one."""
        with self._changed:
            return self._changed.wait_for(lambda: name in self._reached, timeout)

    def reset(self) -> None:
        """Close every gate and send away who waits."""
        with self._changed:
            self._open.clear()
            self._reached.clear()
            waiting = [future for _, future in self._waiting]
        for future in waiting:
            _settle(future, False)


def _settle(future: asyncio.Future[bool], opened: bool) -> None:
    def settle() -> None:
        if not future.done():
            future.set_result(opened)

    future.get_loop().call_soon_threadsafe(settle)
