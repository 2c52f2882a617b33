"""An app with tools of its own, for the tests of the agent."""

from __future__ import annotations

import asyncio
import time

import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, Response

from shared.agent import agent
from shared.agent_request import AgentRequest, parse_agent
from shared.bootstrap import Services
from shared.call import Call
from shared.dialects.answer import agent_answer
from shared.events import Events, Started, TextDelta
from shared.settings import Settings
from shared.tools.tool import ToolContext, ToolError, tool
from shared.tools.toolbox import Toolbox
from shared.worker import Endpoint, Worker


async def cancelled_work() -> None:
    """Awaits what somebody else has cancelled."""
    other = asyncio.get_running_loop().create_future()
    other.cancel()
    await other


ran: list[tuple[str, object]] = []
"""What ran, in its order."""


@tool
def echo(text: str) -> str:
    """Says a text again."""
    ran.append(("echo", text))
    return text


@tool
async def slow(label: str) -> str:
    """Takes 300 milliseconds."""
    await asyncio.sleep(0.3)
    return f"slow {label}"


@tool
def slow_thread(label: str) -> str:
    """Takes 300 milliseconds of a thread."""
    time.sleep(0.3)
    return f"thread {label}"


@tool(timeout=0.05)
async def hangs() -> str:
    """Never ends."""
    await asyncio.Event().wait()
    return ""


@tool
def breaks() -> str:
    """Fails in a way that nobody foresaw."""
    raise RuntimeError("canary-" + "of-a-tool")


@tool
async def cancelled() -> str:
    """Awaits what somebody else has cancelled."""
    await cancelled_work()
    return ""


@tool
def exits() -> str:
    """Ends the process."""
    raise SystemExit(3)


@tool
async def exits_async() -> str:
    """Ends the process."""
    raise SystemExit(3)


@tool
def refuses() -> str:
    """Says what is wrong."""
    raise ToolError("Ask for a city that exists.")


@tool
def large() -> str:
    """Returns too much."""
    return "x" * 100_000


@tool
def whoami(context: ToolContext) -> str:
    """Says who asks."""
    return f"{context.caller} {0 < context.remaining() < 1000}"


@tool(approval=True)
async def which(context: ToolContext) -> str:
    """Says what its call is called."""
    return context.call_id


@tool(approval=True)
def transfer(amount: float, to: str) -> str:
    """Sends money."""
    ran.append(("transfer", (amount, to)))
    return f"sent {amount} to {to}"


def box(_: Settings) -> Toolbox:
    """The tools."""
    unruly = [hangs, breaks, cancelled, exits, exits_async]
    return Toolbox([echo, slow, slow_thread, *unruly, refuses, large, whoami, which, transfer])


worker = Worker(Settings.from_env(), box)

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="agent", methods=["POST"])
async def run_agent(req: Request, context: func.Context) -> Response:
    """The agent."""
    return await worker.serve(Endpoint("agent", parse_agent, agent, agent_answer), req, context.invocation_id)


async def faulty(request: AgentRequest, services: Services, call: Call) -> Events:
    """An answer that begins, unless it is to have one step, and then awaits what was cancelled."""
    if request.max_steps != 1:
        yield Started("x", "model", "")
        yield TextDelta("Begun.")
    await cancelled_work()


@app.route(route="faulty", methods=["POST"])
async def run_faulty(req: Request, context: func.Context) -> Response:
    """An endpoint with a fault."""
    return await worker.serve(Endpoint("faulty", parse_agent, faulty, agent_answer), req, context.invocation_id)
