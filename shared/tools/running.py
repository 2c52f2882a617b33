"""How does a tool's function run?  In a task or thread of its own, so that nothing it does reaches past its result.

A function may raise what ends threads, tasks or the process, swallow its cancellation, or never return. Here all of
that becomes an ordinary exception, or a call that is left behind.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from shared.tools.errors import ToolError, ToolTimeoutError

THREADS = 32
"""How many functions that are not async run at once, in all calls of a worker, those left behind included."""

GRACE = 0.1
"""Seconds in which an async function may still clean up when its time is over."""

log = logging.getLogger("app.tools")

_places = threading.BoundedSemaphore(THREADS)
_abandoned: set[asyncio.Task[Any]] = set()
"""Tasks that did not stop. The loop itself holds tasks only weakly."""


async def finished(name: str, call: Callable[..., Any], values: Mapping[str, Any], seconds: float) -> object:
    """The result of a tool's function, async or not, within so many seconds.

    Raises:
        ToolTimeoutError: it took longer.
        ToolError: it is not async, and no thread is free.
        Exception: what it raises; RuntimeError for what is no Exception.
    """
    task = asyncio.create_task(_contained(_work(name, call, values)))
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return _result(task)
    finally:
        await _end(name, task)
    if not inspect.iscoroutinefunction(call):
        log.warning("tool %s was left behind: it blocks one of %d threads until it returns", name, THREADS)
    raise ToolTimeoutError(f"{name} did not finish within {seconds:.3g} seconds.")


def _result(task: asyncio.Task[object]) -> object:
    if task.cancelled():
        raise RuntimeError("the tool was cancelled by what it awaited, or by itself")
    error = task.exception()
    if error is not None and not isinstance(error, Exception):
        raise _ordinary(error) from None
    return task.result()


async def _end(name: str, task: asyncio.Task[object]) -> None:
    """Cancels the task, and leaves it behind if it does not stop."""
    if task.done():
        return
    task.add_done_callback(lambda task: task.cancelled() or task.exception())
    _abandoned.add(task)
    task.add_done_callback(_abandoned.discard)
    task.cancel()
    await asyncio.wait({task}, timeout=GRACE)
    if not task.done():
        log.warning("tool %s was left behind: it does not stop when it is cancelled", name)


async def _contained(work: Coroutine[Any, Any, object]) -> object:
    """What ends a process must not reach the task: it hands these two on to the loop."""
    try:
        return await work
    except (SystemExit, KeyboardInterrupt) as error:
        raise _ordinary(error) from None


async def _work(name: str, call: Callable[..., Any], values: Mapping[str, Any]) -> object:
    if inspect.iscoroutinefunction(call):
        return await call(**values)
    result = await _in_thread(name, call, values)
    return await result if inspect.iscoroutine(result) else result


async def _in_thread(name: str, call: Callable[..., Any], values: Mapping[str, Any]) -> object:
    """Runs the function in a thread of its own, which does not keep the process from ending."""
    if not _places.acquire(blocking=False):
        raise ToolError(f"{name} is busy right now. Try again later, or answer without it.")
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()
    outcome: asyncio.Future[object] = loop.create_future()

    def settle(result: object, error: Exception | None) -> None:
        if outcome.done():
            if inspect.iscoroutine(result):
                result.close()
        elif error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    def run() -> None:
        result, error = None, None
        try:
            result = context.run(call, **values)
        except BaseException as raised:  # noqa: BLE001 - nobody else takes what a thread raises
            error = _ordinary(raised)
        finally:
            _places.release()
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:
            log.debug("tool %s returned after its loop was closed", name)

    try:
        threading.Thread(target=run, name=f"tool {name}", daemon=True).start()
    except BaseException:
        _places.release()
        raise
    return await outcome


def _ordinary(error: BaseException) -> Exception:
    """The exception itself, or one that a future and an `except Exception` can take, from the same place."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(f"the tool raised {type(error).__name__}").with_traceback(error.__traceback__)
