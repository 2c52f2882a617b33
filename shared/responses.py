"""Results, streams and errors as HTTP."""

from __future__ import annotations

import asyncio
import logging
import math
import traceback
from collections.abc import AsyncIterator, Awaitable
from typing import Any, ClassVar, Protocol, TypeVar

from pydantic_core import to_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from shared.errors import AppError, UpstreamTimeout
from shared.events import Event, Events, Failed
from shared.sse import KEEP_ALIVE
from shared.telemetry import RequestRecord

log = logging.getLogger("app")

Result = TypeVar("Result")

LAST_WORDS = 5.0
"""Seconds after the deadline in which a caller may still read how the stream ended."""

CALLER_LEFT = 499
"""For the log alone: nobody is there to receive it."""


class Dialect(Protocol):
    """One way to tell a sequence of events as server-sent events."""

    headers: ClassVar[dict[str, str]]

    def encode(self, event: Event) -> bytes:
        """The frames that say this event."""


def whole_response(content: dict[str, Any] | str, request_id: str, status: int = 200) -> Response:
    """An answer in one piece: JSON, or a bare text."""
    headers = {"x-request-id": request_id, "cache-control": "no-store"}
    if isinstance(content, str):
        return Response(content, status, headers, media_type="text/plain")
    return Response(to_json(content), status, headers, media_type="application/json")


def error_response(error: AppError, request_id: str) -> Response:
    """An error, when nothing has been sent yet."""
    response = whole_response({"error": error.told(request_id), **error.beside}, request_id, error.status)
    if error.retry_after is not None:
        response.headers["retry-after"] = str(math.ceil(error.retry_after))
    return response


def unexpected(error: BaseException, request_id: str) -> AppError:
    """The error that callers are told for a fault of this app; its place goes to the log, its text nowhere."""
    # An exception's text can hold anything that was being handled: a prompt, a token.
    where = "".join(traceback.format_tb(error.__traceback__))
    log.error("request %s failed: %s\n%s", request_id, type(error).__name__, where)
    return AppError()


def being_cancelled() -> bool:
    """Whether somebody cancels this task. A CancelledError without that is a fault: what was awaited was cancelled."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def while_caller_waits(request: Request, work: Awaitable[Result]) -> Result:
    """Awaits `work`, and cancels it when the caller goes away.

    The platform doesn't cancel a handler whose caller left before the response began. The body must have been read.

    Raises:
        ClientDisconnect: the caller has left.
    """
    task, gone = asyncio.ensure_future(work), asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def before(deadline: float, work: Awaitable[Result]) -> Result:
    """Awaits `work` until `deadline`, in the event loop's seconds.

    Raises:
        UpstreamTimeout: the deadline has come.
    """
    try:
        async with asyncio.timeout_at(deadline):
            return await work
    except TimeoutError:
        raise UpstreamTimeout from None


class Telling:
    """One answer on its way out: a task tells the events, the response sends what was told.

    A task of its own lets heartbeats go out while the model is silent, joins what is ready into one write, and has the
    deadline hold also for a caller who does not read.
    """

    READY_AT_MOST = 64

    def __init__(self, events: Events, dialect: Dialect, record: RequestRecord, deadline: float) -> None:
        self._events = events
        self._dialect = dialect
        self._record = record
        self._ready: asyncio.Queue[bytes | None] = asyncio.Queue(self.READY_AT_MOST)
        self._begun = False
        self._failure: AppError | None = None
        self._something = asyncio.Event()
        self._task = asyncio.create_task(self._tell(deadline))

    async def begin(self, patience: float) -> None:
        """Waits for the first event, at most `patience` seconds; after it every error is told in-band.

        Raises:
            AppError: the answer failed before its first event.
        """
        try:
            async with asyncio.timeout(patience):
                await self._something.wait()
        except TimeoutError:
            pass
        if self._failure is not None:
            raise self._failure
        self._begun = True

    async def chunks(self, heartbeat: float) -> AsyncIterator[bytes]:
        """The bytes of the stream, with a comment wherever `heartbeat` seconds pass in silence."""
        while True:
            try:
                async with asyncio.timeout(heartbeat):
                    chunk = await self._ready.get()
            except TimeoutError:
                yield KEEP_ALIVE
                continue
            joined = []
            while chunk is not None:
                joined.append(chunk)
                if self._ready.empty():
                    break
                chunk = self._ready.get_nowait()
            if joined:
                yield b"".join(joined)
            if chunk is None:
                return

    async def stop(self) -> None:
        """Ends the telling and with it the call upstream, if they have not ended."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _tell(self, deadline: float) -> None:
        try:
            await before(deadline, self._tell_all())
        except AppError as error:
            await self._tell_failure(error)
        except asyncio.CancelledError as error:
            if being_cancelled():
                raise
            await self._tell_failure(unexpected(error, self._record.request_id))
        except Exception as error:  # noqa: BLE001 - a stream always ends in a terminal event
            await self._tell_failure(unexpected(error, self._record.request_id))
        await self._ready.put(None)

    async def _tell_all(self) -> None:
        try:
            async for event in self._events:
                await self._ready.put(self._dialect.encode(event))
                self._something.set()
        finally:
            await self._events.aclose()

    async def _tell_failure(self, error: AppError) -> None:
        if not self._begun and self._ready.empty():
            self._failure = error
            self._something.set()
            return
        self._record.see(Failed(error))
        await self._ready.put(self._dialect.encode(Failed(error)))


class EventStream(StreamingResponse):
    """A stream whose call upstream ends with it, whether the caller read it to its end, left, or never began."""

    def __init__(
        self, telling: Telling, dialect: Dialect, record: RequestRecord, heartbeat: float, deadline: float
    ) -> None:
        self._telling = telling
        self._end = deadline + LAST_WORDS
        self._record = record
        super().__init__(
            telling.chunks(heartbeat),
            media_type="text/event-stream",
            headers={
                "x-request-id": record.request_id,
                "cache-control": "no-store",
                # nginx, which stands before some platforms' workers, buffers without this.
                "x-accel-buffering": "no",
                **dialect.headers,
            },
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the stream."""
        try:
            async with asyncio.timeout_at(self._end):
                await super().__call__(scope, receive, send)
        except TimeoutError:
            log.warning("request %s: the caller did not read its answer to the end", self._record.request_id)
        finally:
            await self._telling.stop()
            if self._record.finish_reason is None and self._record.code is None:
                self._record.code = "caller_left"
            self._record.write()
