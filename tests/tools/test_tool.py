"""A tool runs: in time, with its context, and with a result that a model can read."""

from __future__ import annotations

import asyncio
import contextvars
import datetime as dt
import json
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from shared.tools.errors import ToolArgumentsError, ToolTimeoutError
from shared.tools.running import THREADS
from shared.tools.tool import ToolContext, ToolError, tool
from tests.tools.context import context
from tests.tools.samples import Guest, Point, Unit, book, greet


def test_the_decorator_alone_takes_name_and_description_from_the_function() -> None:
    assert greet.name == "greet"
    assert greet.description == "Greets someone."
    assert (greet.approval, greet.wants_context, greet.origins) == (False, False, ())


def test_the_decorator_with_arguments_sets_name_approval_and_timeout() -> None:
    assert (book.name, book.approval, book.timeout, book.wants_context) == ("book-table", True, 3, True)


async def test_an_async_function_runs_and_its_text_is_the_result() -> None:
    @tool
    async def echo(text: str) -> str:
        """Repeats."""
        return text

    assert await echo.run('{"text": "ä"}', context()) == "ä"


async def test_a_sync_function_runs_in_a_thread_with_the_callers_context_variables() -> None:
    who = contextvars.ContextVar("who", default="nobody")
    who.set("somebody")

    @tool
    def where() -> list[str]:
        """Tells."""
        return [threading.current_thread().name, who.get()]

    thread, caller = json.loads(await where.run("{}", context()))
    assert thread.startswith("tool")
    assert caller == "somebody"


async def test_sync_functions_do_not_wait_for_each_other() -> None:
    meeting = threading.Barrier(3, timeout=5)

    @tool
    def meet() -> int:
        """Waits for the others."""
        return meeting.wait()

    results = await asyncio.gather(*(meet.run("{}", context()) for _ in range(3)))
    assert sorted(results) == ["0", "1", "2"]


async def test_a_tool_that_is_called_is_its_function() -> None:
    assert greet("Ada") == "Hello, Ada!"
    booked = await book(dt.date(2026, 5, 1), [], context())
    assert booked["seats"] == 2


async def test_the_context_reaches_the_parameter_that_asks_for_it_by_type() -> None:
    @tool(timeout=1)
    async def who(me: ToolContext) -> dict[str, Any]:
        """Tells."""
        return {"caller": me.caller, "secret": await me.secrets.get("s"), "left": me.remaining()}

    result = json.loads(await who.run("{}", context(caller="ada", secrets={"s": "42"}, seconds=60)))
    assert (result["caller"], result["secret"]) == ("ada", "42")
    assert 0 < result["left"] <= 1, "the tool's own time is the shorter one"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("text", "text"),
        ("", ""),
        ("lone \ud800 surrogate", "lone ? surrogate"),
        (None, "null"),
        (True, "true"),
        ([1, 2.5], "[1,2.5]"),
        (float("nan"), '"NaN"'),
        (dt.date(2026, 5, 1), '"2026-05-01"'),
        (Point(1, 2), '{"x":1,"y":2}'),
        (Guest(name="Ö"), '{"name":"Ö","age":18}'),
        (Unit.METRIC, '"metric"'),
    ],
)
async def test_a_result_is_told_as_text_or_json(value: Any, told: str) -> None:
    @tool
    async def give() -> Any:
        """Gives."""
        return value

    assert await give.run("{}", context()) == told


async def test_bad_arguments_do_not_run_the_function() -> None:
    ran = False

    @tool
    def run(x: int) -> None:
        """Runs."""
        nonlocal ran
        ran = True

    with pytest.raises(ToolArgumentsError):
        await run.run('{"x": "1"}', context())
    assert not ran


async def test_a_tools_own_error_reaches_the_model_as_it_is() -> None:
    @tool
    def fail() -> None:
        """Fails."""
        raise ToolError("Ask for Tuesday.")

    with pytest.raises(ToolError, match=r"^Ask for Tuesday\.$"):
        await fail.run("{}", context())


async def test_any_other_exception_is_passed_on_for_the_log() -> None:
    @tool
    async def fail() -> None:
        """Fails."""
        raise TimeoutError("its own, not ours")

    with pytest.raises(TimeoutError, match="its own"):
        await fail.run("{}", context())


async def test_a_tool_that_takes_too_long_is_stopped() -> None:
    stopped = asyncio.Event()

    @tool(timeout=0.01)
    async def hang() -> None:
        """Hangs."""
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    with pytest.raises(ToolTimeoutError):
        await hang.run("{}", context())
    assert stopped.is_set()


async def test_a_tool_gets_no_more_time_than_the_run_has_left() -> None:
    @tool(timeout=60)
    async def hang() -> None:
        """Hangs."""
        await asyncio.Event().wait()

    started = time.monotonic()
    with pytest.raises(ToolTimeoutError):
        await hang.run("{}", context(seconds=0.01))
    assert time.monotonic() - started < 2


async def test_without_time_left_a_tool_does_not_start() -> None:
    ran = False

    @tool
    def run() -> None:
        """Runs."""
        nonlocal ran
        ran = True

    with pytest.raises(ToolTimeoutError, match="no time left"):
        await run.run("{}", context(seconds=0))
    assert not ran


async def test_a_sync_function_that_hangs_is_left_behind() -> None:
    released = threading.Event()

    @tool(timeout=0.01)
    def hang() -> None:
        """Hangs."""
        released.wait(5)

    with pytest.raises(ToolTimeoutError):
        await hang.run("{}", context())
    released.set()


async def test_a_caller_who_leaves_stops_the_tool() -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    @tool
    async def hang() -> None:
        """Hangs."""
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    running = asyncio.create_task(hang.run("{}", context()))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert stopped.is_set()


async def cancelled_work() -> None:
    """Awaits something that somebody else has cancelled."""
    other = asyncio.get_running_loop().create_future()
    other.cancel()
    await other


async def self_cancelling() -> None:
    """Cancels its own task."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def async_exit() -> None:
    """Leaves the process."""
    raise SystemExit(3)


async def async_interrupt() -> None:
    """Is interrupted."""
    raise KeyboardInterrupt


async def generator_exit() -> None:
    """Raises what closes generators."""
    raise GeneratorExit


def sync_exit() -> None:
    """Leaves the process."""
    raise SystemExit(3)


def sync_interrupt() -> None:
    """Is interrupted."""
    raise KeyboardInterrupt


def sync_cancelled() -> None:
    """Raises what cancels tasks."""
    raise asyncio.CancelledError


def exhausted() -> object:
    """Takes from an empty iterator."""
    return next(iter(()))


@pytest.mark.parametrize(
    "function",
    [
        cancelled_work,
        self_cancelling,
        async_exit,
        async_interrupt,
        generator_exit,
        sync_exit,
        sync_interrupt,
        sync_cancelled,
        exhausted,
    ],
)
async def test_what_would_end_the_run_or_the_process_is_an_ordinary_failure(function: Any) -> None:
    with pytest.raises(RuntimeError):
        await asyncio.wait_for(tool(function).run("{}", context()), 5)


async def test_a_tool_that_swallows_its_cancellation_does_not_outlive_its_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    released = asyncio.Event()

    @tool(timeout=0.01)
    async def stubborn() -> str:
        """Goes on."""
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    started = time.monotonic()
    with pytest.raises(ToolTimeoutError, match="stubborn did not finish"):
        await stubborn.run("{}", context())
    assert time.monotonic() - started < 2
    released.set()
    assert [record.getMessage() for record in caplog.records] == [
        "tool stubborn was left behind: it does not stop when it is cancelled"
    ]


async def test_hung_sync_functions_leave_room_for_others_and_at_the_bound_fail_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    released = threading.Event()
    left: list[threading.Thread] = []

    @tool(timeout=0.01)
    def hang() -> None:
        """Hangs."""
        left.append(threading.current_thread())
        released.wait(20)

    @tool
    def quick() -> str:
        """Returns."""
        return "done"

    try:
        for _ in range(THREADS - 1):
            with pytest.raises(ToolTimeoutError):
                await hang.run("{}", context())
        assert await quick.run("{}", context()) == "done"
        with pytest.raises(ToolTimeoutError):
            await hang.run("{}", context())
        with pytest.raises(ToolError, match="quick is busy"):
            await quick.run("{}", context())
        assert all(thread.daemon for thread in left)
    finally:
        released.set()
        for thread in left:
            thread.join()
    assert await quick.run("{}", context()) == "done"
    assert sum("tool hang was left behind" in record.getMessage() for record in caplog.records) == THREADS


async def test_a_function_that_returns_a_coroutine_is_awaited() -> None:
    async def later() -> str:
        return "later"

    @tool
    def indirect() -> Any:
        """Returns a coroutine."""
        return later()

    assert await indirect.run("{}", context()) == "later"


def test_a_hung_sync_function_does_not_keep_the_process_from_ending() -> None:
    program = """
import asyncio, threading
from shared.tools.tool import tool
from tests.tools.context import context

@tool(timeout=0.01)
def hang() -> None:
    "Hangs."
    threading.Event().wait()

try:
    asyncio.run(hang.run("{}", context()))
except Exception as error:
    print(type(error).__name__)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=20, check=True, text=True)
    assert done.stdout.strip() == "ToolTimeoutError"
