"""A conversation in; the server's own tools run in a bounded loop until there is an answer."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from shared.agent_request import AgentRequest, PastCall, fingerprint
from shared.azure.responses_api import Turn, message_item, output_item, turn
from shared.call import Call
from shared.errors import AppError, InvalidRequest, RunInterrupted, UpstreamTimeout
from shared.events import (
    ApprovalNeeded,
    Event,
    Events,
    Failed,
    Finished,
    FinishReason,
    OutputItem,
    Started,
    StepStarted,
    ToolCalled,
    ToolReturned,
    Usage,
)
from shared.guards import LONGEST_OUTPUT, Guards, Limits, StoppedBy, end_of_steps
from shared.tool_call import LONGEST_ARGUMENTS, LONGEST_ERROR, ToolCall
from shared.tools.errors import ToolError, UnknownToolError
from shared.tools.tool import ToolContext
from shared.tools.toolbox import Toolbox

if TYPE_CHECKING:
    from shared.bootstrap import Services

log = logging.getLogger("app.agent")

PARALLEL_CALLS = 8
"""How many calls of one turn run at once."""


async def agent(request: AgentRequest, services: Services, call: Call) -> Events:
    """The events of one run: steps of text and tool calls, and one end.

    Raises:
        ModelNotFound, InvalidRequest, and what is wrong with an image: before any event.
        AppError: as for chat.
    """
    model = services.models.choose(request.model)
    box = services.tools
    if request.tools is not None:
        try:
            box = services.tools.subset(request.tools)
        except UnknownToolError as error:
            raise InvalidRequest(f"tools: there is no such tool. The tools are: {', '.join(error.offered)}.") from None
    # From here on the turn alone holds the pictures, once: the model may take minutes.
    urls = iter(await services.intake.urls(await services.intake.take(request.hand_over_images())))
    items = [message_item(message, urls) for message in request.messages]
    first = turn(f"agent_{call.id}", request, model, services.settings, items, request.instructions)
    first = replace(first, tools=box.definitions())
    limits = Limits.of(services.settings, request)
    ends = end_of_steps(limits, asyncio.get_running_loop().time(), call.deadline)
    run = _Run(first, services, call, box, Guards(limits, ends))
    async with aclosing(run.events(request)) as events:
        async for event in events:
            yield event


class _Run:
    """One run of the loop. `_items` is the conversation as the model sees it, and only grows."""

    def __init__(self, first: Turn, services: Services, call: Call, box: Toolbox, guards: Guards) -> None:
        self._first = first
        self._services = services
        self._call = call
        self._box = box
        self._guards = guards
        self._items = list(first.input)
        self._usage = Usage()
        self._started = False
        self._endpoint: str | None = None
        self._ran = False
        self._out_of_time = False
        self._repeated_ids = False
        self._ids: set[str] = set()
        self._calls: list[ToolCall] = []
        self._reason: FinishReason = "stop"

    async def events(self, request: AgentRequest) -> Events:
        """The whole run. One that breaks off after a tool has run says so: it must not simply be sent again."""
        try:
            async with aclosing(self._steps(request)) as events:
                async for event in events:
                    yield event
        except AppError as error:
            if not self._ran:
                raise
            log.warning("request %s: the run broke off after tools had run: %s", self._call.id, error.code)
            yield Failed(RunInterrupted())

    async def _steps(self, request: AgentRequest) -> Events:
        if request.steps:
            async with aclosing(self._resumed(request)) as events:
                async for event in events:
                    yield event
        while True:
            stopped: StoppedBy | None = self._guards.stop(self._now()) if self._box else None
            async with aclosing(self._last_turn() if stopped else self._turn()) as events:
                async for event in events:
                    yield event
            if self._repeated_ids and not self._calls:
                self._guards.repeated = True
                continue
            if stopped or not (self._calls or self._out_of_time):
                break
            pending: list[Event] = []
            async with aclosing(self._answered(pending)) as answers:
                async for event in answers:
                    yield event
            if pending:
                for event in pending:
                    yield event
                stopped, self._reason = "approval", "tool_calls"
                break
        yield Finished(self._reason, self._usage, stopped)

    async def _turn(self) -> Events:
        """One turn of the model, with tools, until the steps end; what it cannot complete by then is left."""
        before = len(self._items)
        try:
            deadline = min(self._call.deadline, self._guards.ends)
            async with aclosing(self._model(replace(self._call, deadline=deadline), last=False)) as events:
                async for event in events:
                    yield event
        except UpstreamTimeout:
            if self._now() < self._guards.ends:
                raise
            self._out_of_time = True
            del self._items[before:]
            for call in self._calls:
                yield ToolReturned(call.id, None, "Not run: there was no time left.", 0.0)
            self._calls = []

    async def _last_turn(self) -> Events:
        """The turn that ends the run: tools are off, and what the model calls all the same is not run."""
        async with aclosing(self._model(self._call, last=True)) as events:
            async for event in events:
                yield event
        self._repeated_ids = False

    async def _model(self, call: Call, *, last: bool) -> Events:
        """Tells the model's text and takes its calls."""
        asked = replace(
            self._first,
            input=tuple(self._items),
            max_output_tokens=min(self._first.max_output_tokens, self._guards.tokens_left(last=last)),
            tools_off=last,
        )
        self._guards.steps += 1
        self._calls, self._repeated_ids, self._out_of_time = [], False, False
        async with aclosing(self._services.openai.stream(asked, call, prefer=self._endpoint)) as events:
            async for event in events:
                match event:
                    case Started():
                        # Encrypted reasoning can be read by the resource alone that made it.
                        self._endpoint = event.endpoint
                        yield StepStarted() if self._started else event
                        self._started = True
                    case OutputItem():
                        if called := self._take(event.item, tools_off=last):
                            yield ToolCalled(called.id, called.name, called.arguments)
                    case Finished():
                        self._usage += event.usage
                        self._guards.output_tokens += event.usage.output_tokens
                        self._reason = event.reason
                    case _:
                        yield event

    def _take(self, item: dict[str, Any], *, tools_off: bool) -> ToolCall | None:
        """Carries an item of the model's on; returns it when it is a call that is to be answered."""
        if item.get("type") != "function_call":
            if item.get("type") in ("message", "reasoning"):
                self._items.append(item)
            return None
        call = ToolCall.of(item)
        # With tools off nothing is run; and an id that was there already could not be answered once.
        if tools_off or call.id in self._ids:
            self._repeated_ids = not tools_off
            return None
        self._ids.add(call.id)
        self._items.append(call.item())
        self._calls.append(call)
        return call

    async def _answered(self, pending: list[Event]) -> AsyncGenerator[ToolReturned, None]:
        """Runs the calls of one turn, bounded; each gets exactly one result, or goes to `pending` for a person."""
        admitted: list[tuple[ToolCall, str | None]] = []
        for call in self._calls:
            if approval := self._approval(call):
                pending.append(approval)
            else:
                refusal = self._guards.admit(f"{call.name} {fingerprint(call.arguments)}")
                admitted.append((call, refusal))
        places = asyncio.Semaphore(PARALLEL_CALLS)
        running = [asyncio.create_task(self._result(call, refusal, places)) for call, refusal in admitted]
        try:
            for task in running:
                result = await task
                self._items.append(output_item(result.id, result.error or result.output or ""))
                yield result
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _approval(self, call: ToolCall) -> ApprovalNeeded | None:
        """What a person must decide, if the call is of a consequential tool and could run at all."""
        tool = self._box.get(call.name)
        if tool is None or not tool.approval or not isinstance(call.arguments, dict):
            return None
        try:
            tool.parse(call.text)
        except ToolError:
            return None
        return ApprovalNeeded(call.id, call.name, call.arguments, fingerprint(call.arguments))

    async def _result(self, call: ToolCall, refusal: str | None, places: asyncio.Semaphore) -> ToolReturned:
        async with places:
            began = time.perf_counter()
            output, error = (None, refusal) if refusal else await self._run_tool(call)
            return ToolReturned(call.id, output, error, round((time.perf_counter() - began) * 1000, 1))

    async def _run_tool(self, call: ToolCall) -> tuple[str | None, str | None]:
        """A tool's output, or the error that the model reads. Nothing that a tool does ends the run."""
        tool = self._box.get(call.name)
        if tool is None:
            return None, f"There is no such tool. The tools are: {', '.join(self._box.names)}."
        if len(call.text) > LONGEST_ARGUMENTS:
            return None, f"The arguments are too long: at most {LONGEST_ARGUMENTS} characters."
        services = self._services
        context = ToolContext(self._call.caller, self._deadline(), services.secrets, services.egress, call.id)
        self._ran = True
        try:
            output = await tool.run(call.text, context)
        except ToolError as error:
            return None, str(error).encode("utf-8", "replace").decode()[:LONGEST_ERROR]
        except Exception as error:  # noqa: BLE001 - its text is for nobody: it can hold anything
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error("request %s: tool %s failed: %s\n%s", self._call.id, tool.name, type(error).__name__, where)
            return None, "The tool failed. Try something else, or answer without it."
        if len(output) > LONGEST_OUTPUT:
            return (
                None,
                f"The result is too large: {len(output)} characters, and at most {LONGEST_OUTPUT}. Ask for less.",
            )
        return output, None

    def _deadline(self) -> float:
        """When a tool must be done, on `time.monotonic()`."""
        return time.monotonic() + min(self._guards.ends, self._call.deadline) - self._now()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _resumed(self, request: AgentRequest) -> Events:
        """Puts an earlier answer's steps into the conversation, and carries out what was decided."""
        decisions = {approval.id: approval.decision for approval in request.approvals}
        self._started = True
        yield Started(request.continues or self._first.id, self._first.model.name, "", resumed=True)
        for past in (call for step in request.steps for call in step.tool_calls):
            call = ToolCall(past.id, past.name, _text(past))
            self._ids.add(call.id)
            self._items.append(call.item())
            if not past.pending:
                self._items.append(output_item(call.id, past.error or past.output or ""))
                continue
            yield ToolCalled(call.id, call.name, call.arguments, resumed=True)
            refusal = None
            if decisions[call.id] == "refused":
                refusal = "The user refused this call. Do not try it again."
            elif self._approval(call) is None:
                refusal = (
                    "This call can't be approved: it is of no tool that asks for approval, or its arguments are wrong."
                )
            result = await self._result(call, refusal or self._guards.admit(call.id), asyncio.Semaphore())
            self._items.append(output_item(call.id, result.error or result.output or ""))
            yield result


def _text(call: PastCall) -> str:
    return call.arguments if isinstance(call.arguments, str) else to_json(call.arguments).decode()
