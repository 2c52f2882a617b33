"""One worker: what it was configured to be, what serves it, and the order in which a request is handled."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from shared import incoming, toolkit
from shared.bootstrap import Services, connect
from shared.call import Call
from shared.dialects.ui_stream import UiStream
from shared.errors import AppError, Misconfigured, Unauthorized
from shared.events import Events
from shared.readiness import Readiness, Report, climb, needed
from shared.requests import Incoming
from shared.responses import (
    CALLER_LEFT,
    EventStream,
    Telling,
    before,
    being_cancelled,
    error_response,
    unexpected,
    while_caller_waits,
    whole_response,
)
from shared.settings import Mistake, Settings
from shared.telemetry import RequestRecord
from shared.tools.errors import ToolDefinitionError
from shared.tools.toolbox import Toolbox

log = logging.getLogger("app")

LARGE_BODY = 1_000_000
"""Bytes. A larger body is read in a thread, so that nobody else waits for it."""


class Askable(Protocol):
    """A request that says whether its answer is to be streamed, and within how many seconds it wants all of it."""

    @property
    def stream(self) -> bool: ...

    @property
    def timeout(self) -> float | None: ...


Asked = TypeVar("Asked", bound=Askable)


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[Asked]):
    """How one kind of request is read, answered, and told in one piece."""

    name: str
    parse: Callable[[Incoming, Settings], Asked]
    run: Callable[[Asked, Services, Call], Events]
    fold: Callable[[Asked, Events], Awaitable[dict[str, Any] | str]]


class Worker:
    """Handles this worker's requests. Making one never fails: with bad settings it answers 503 and says why."""

    def __init__(self, settings: Settings, make_tools: Callable[[Settings], Toolbox] = toolkit.toolbox) -> None:
        """Takes the settings, and what makes the agent's tools: those that `shared/tools` lists."""
        mistakes = [*settings.mistakes, *toolkit.problems(settings)]
        self._tools = Toolbox(())
        if not mistakes:
            try:
                self._tools = make_tools(settings)
            except ToolDefinitionError as error:
                mistakes.append(Mistake("shared/tools", str(error)))
        self.settings = settings.model_copy(update={"mistakes": tuple(mistakes)})
        self._services: Services | None = None
        self._reading = asyncio.Semaphore(2)
        self._readiness = Readiness(self._climb, settings.ready_cache)
        logging.getLogger("app").setLevel(settings.log_level)
        for warning in settings.warnings:
            log.warning("%s", warning)
        for mistake in self.settings.mistakes:
            log.error("misconfigured: %s", mistake)

    @property
    def services(self) -> Services:
        """What serves this worker, connected on first use.

        Raises:
            Misconfigured: the settings have mistakes; the message names the variables, and how to mend them.
        """
        if self._services is None:
            if self.settings.mistakes:
                named = " ".join(f"{mistake}" for mistake in self.settings.mistakes)
                raise Misconfigured(f"The app's settings must be mended by its operator. {named}")
            self._services = connect(self.settings, self._tools)
        return self._services

    async def warm_up(self) -> None:
        """Prepares for the first request. It never fails: a request meets the same fault and tells it."""
        try:
            await self.services.warm_up()
        except AppError as error:
            log.warning("warm-up: %s: %s", error.code, error.message)

    async def close(self) -> None:
        """Closes every connection."""
        await self._readiness.close()
        if self._services is not None:
            await self._services.close()

    async def ready(self, request: Request, request_id: str) -> Response:
        """Says whether the app can serve: 200, or 503 and the rung that is broken. With bad settings too."""
        try:
            self._authenticate(request)
            report = await self._readiness.report()
        except Exception as error:  # noqa: BLE001 - as in `serve`
            told = error if isinstance(error, AppError) else unexpected(error, request_id)
            return error_response(told, request_id)
        broken = report.broken
        response = whole_response(report.told(), request_id, 200 if report.serves else 503)
        if broken is not None and broken.retry_after is not None and not report.serves:
            response.headers["retry-after"] = str(math.ceil(broken.retry_after))
        return response

    async def serve(self, endpoint: Endpoint[Asked], request: Request, request_id: str) -> Response:
        """Answers one request; whatever happens, the response is a proper one."""
        record = RequestRecord(endpoint.name, request_id)
        try:
            response = await self._answer(endpoint, request, record)
        except AppError as error:
            response = self._refuse(error, record)
        except ClientDisconnect:
            record.code = "caller_left"
            response = Response(status_code=CALLER_LEFT)
        except asyncio.CancelledError as error:
            if being_cancelled():
                raise
            response = self._refuse(unexpected(error, request_id), record)
        except Exception as error:  # noqa: BLE001 - an unhandled one would be a bare 500 without a body
            response = self._refuse(unexpected(error, request_id), record)
        record.status = response.status_code
        if not isinstance(response, EventStream):
            record.write()
        return response

    async def _answer(self, endpoint: Endpoint[Asked], request: Request, record: RequestRecord) -> Response:
        arrived = asyncio.get_running_loop().time()
        caller = self._authenticate(request)
        services = self.services
        settings = self.settings
        came = await incoming.read(request, max_bytes=settings.max_body_bytes, within=settings.body_timeout)
        if len(came.body) > LARGE_BODY:
            async with self._reading:
                asked = await asyncio.to_thread(endpoint.parse, came, settings)
        else:
            asked = endpoint.parse(came, settings)
        # It may be megabytes, and the answer takes long.
        del came
        record.stream = asked.stream
        deadline = arrived + min(asked.timeout or self.settings.request_timeout, self.settings.request_timeout)
        call = Call(record.request_id, deadline, caller, record.spent)
        events = record.watch(endpoint.run(asked, services, call))
        if not asked.stream:
            answer = await while_caller_waits(request, before(deadline, endpoint.fold(asked, events)))
            return whole_response(answer, record.request_id)
        dialect = UiStream(record.request_id)
        telling = Telling(events, dialect, record, deadline)
        try:
            await while_caller_waits(request, telling.begin(self.settings.heartbeat))
        except BaseException:
            await telling.stop()
            raise
        return EventStream(telling, dialect, record, self.settings.heartbeat, deadline)

    async def _climb(self) -> Report:
        services = None if self.settings.mistakes else self.services
        rungs = [rung async for rung in climb(self.settings, services)]
        return Report(tuple(rungs), () if services is None else needed(services))

    def _authenticate(self, request: Request) -> str | None:
        """Holds `entra`: the platform must have authenticated the caller. With `key` the host has done it.

        Returns who the caller is, where the platform says so. Its headers can be sent by anyone, so they count only
        where the platform sets them itself.
        """
        settings = self.settings
        trusted = settings.website_auth_enabled and bool(request.headers.get("x-ms-client-principal"))
        enforced = settings.caller_auth == "entra" and (not settings.development or settings.enforce_caller_auth)
        if enforced and not trusted:
            raise Unauthorized
        return request.headers.get("x-ms-client-principal-id") if trusted else None

    def _refuse(self, error: AppError, record: RequestRecord) -> Response:
        record.failed(error)
        return error_response(error, record.request_id)
