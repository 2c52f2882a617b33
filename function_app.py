"""The table of contents: every route of the app, one short function each."""

from __future__ import annotations

import azure.functions as func
from azure.functions.warmup import WarmUpContext
from azurefunctions.extensions.http.fastapi import JSONResponse, Request, Response

from shared.agent import agent
from shared.agent_request import parse_agent
from shared.chat import chat as run_chat
from shared.chat_request import parse_chat
from shared.dialects.answer import agent_answer, chat_answer, image_answer
from shared.image_request import parse_images
from shared.images import analyze
from shared.settings import Settings
from shared.worker import Endpoint, Worker

worker = Worker(Settings.from_env())

# With `entra` the routes check the platform's principal themselves; level FUNCTION would ask for a key as well.
CALLERS = func.AuthLevel.ANONYMOUS if worker.settings.caller_auth == "entra" else func.AuthLevel.FUNCTION

CHAT = Endpoint("chat", parse_chat, run_chat, chat_answer)
AGENT = Endpoint("agent", parse_agent, agent, agent_answer)
IMAGES = Endpoint("images/analyze", parse_images, analyze, image_answer)

app = func.FunctionApp(http_auth_level=CALLERS)


@app.route(route="chat", methods=["POST"])
async def chat(req: Request, context: func.Context) -> Response:
    """A conversation in; the model's answer out, as JSON or as a stream."""
    return await worker.serve(CHAT, req, context.invocation_id)


@app.route(route="agent", methods=["POST"])
async def run_agent(req: Request, context: func.Context) -> Response:
    """A conversation in; the app's own tools run until there is an answer."""
    return await worker.serve(AGENT, req, context.invocation_id)


@app.route(route="images/analyze", methods=["POST"])
async def analyze_images(req: Request, context: func.Context) -> Response:
    """Pictures and an instruction in; an analysis out."""
    return await worker.serve(IMAGES, req, context.invocation_id)


@app.route(route="process_image", methods=["POST"])
async def process_image(req: Request, context: func.Context) -> Response:
    """The same, under the name that the managed identity tutorial gives it."""
    return await worker.serve(IMAGES, req, context.invocation_id)


@app.route(route="ready", methods=["GET"])
async def ready(req: Request, context: func.Context) -> Response:
    """Says whether the app can serve, and if not, what is broken and what mends it."""
    return await worker.ready(req, context.invocation_id)


@app.route(route="health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: Request) -> JSONResponse:
    """Says that the worker is alive; it touches nothing else."""
    return JSONResponse({"status": "ok"})


@app.warm_up_trigger(arg_name="trigger")
async def warmup(trigger: WarmUpContext) -> None:
    """Loads what the first request would wait for."""
    await worker.warm_up()
