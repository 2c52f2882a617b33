"""Ctrl-C and SIGTERM as a wish to stop, not an exception."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignal:
    """Within `with`, the first Ctrl-C or SIGTERM ends `wait()`; a second one has its usual effect."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Listens for the signals. Only the main thread may."""
        self._before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Puts back what was there."""
        self._restore()

    def wait(self) -> None:
        """Returns when somebody asked to stop."""
        self._asked.wait()

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._restore()
        self._asked.set()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
