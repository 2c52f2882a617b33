"""Azure OpenAI's /openai/v1/: responses and chat completions, for who shows a token of the emulated tenant.

Reference: https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle (the v1 API).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiohttp import web

from dev.emulator import chat_request, responses_request, tokens
from dev.emulator.answer import answer
from dev.emulator.chat_wire import Completion
from dev.emulator.pieces import Piece, cut, verbatim
from dev.emulator.refusal import Refusal, filtered_prompt, gateway, invalid, scripted, wrong_type
from dev.emulator.responses_wire import Response
from dev.emulator.script import OpenAIStep
from dev.emulator.service import Exchange, Recorded, Service

ROOT = "/openai/v1/"
VERSIONS = (None, "v1", "preview", "latest")


class OpenAIEmulator(Service[OpenAIStep]):
    """An Azure OpenAI resource without keys.

    deployments: their names; reasoning: those of a reasoning family. models: what chat completions call them.
    role_granted: whether callers have the role: True, False, or the client ids that have it. audiences: whose tokens it
    takes. resource: its name, to which encrypted reasoning is bound. pace: seconds between the chunks of a stream.
    """

    def __init__(self) -> None:
        super().__init__(OpenAIStep)
        self.default_deployment = "gpt-4.1-mini"
        self.deployments = {"gpt-4.1-mini", "gpt-5.4-mini"}
        self.reasoning = {"gpt-5.4-mini"}
        self.models = {"gpt-4.1-mini": "gpt-4.1-mini-2025-04-14", "gpt-5.4-mini": "gpt-5.4-mini-2026-03-17"}
        self.role_granted: bool | set[str] = True
        self.audiences = {"https://cognitiveservices.azure.com"}
        self.resource = f"emulated-{uuid.uuid4().hex[:8]}"
        self.pace = 0.0
        self.limit_requests = 1_000
        self.limit_tokens = 1_000_000
        self._kept: dict[str, tuple[list[Any], dict[str, Any]]] = {}
        self._numbers = itertools.count(1)

    def clear(self) -> None:
        """Forget the stored responses too."""
        super().clear()
        self._kept.clear()

    async def answer(self, exchange: Exchange) -> web.StreamResponse:
        """Answer one request, or as the script says."""
        try:
            self._admit(exchange.recorded)
            return await self._route(exchange)
        except Refusal as refusal:
            body = json.dumps(refusal.body)
            headers = {**self._headers(), **refusal.headers}
            return web.Response(status=refusal.status, text=body, content_type="application/json", headers=headers)

    def _admit(self, recorded: Recorded) -> None:
        if "api-key" in recorded.headers:
            message = "Key based authentication is disabled for this resource."
            raise gateway(403, "AuthenticationTypeDisabled", message)
        scheme, _, token = recorded.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise gateway(
                401,
                "401",
                "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key "
                "for an active subscription and use a correct regional API endpoint for your resource.",
            )
        try:
            claims = tokens.check(token, self.audiences, self.clock())
        except tokens.TokenRefused as refused:
            # This one answer of the real service has no "error" around it, and does not say which of these it is.
            message = (
                "Unauthorized. Access token is missing, invalid, audience is incorrect "
                f"({', '.join(sorted(self.audiences))}), or have expired."
            )
            body = {"statusCode": 401, "message": message}
            raise Refusal(401, body, {"x-emulator-reason": str(refused)}, bare=True) from refused
        granted = self.role_granted
        if not (granted if isinstance(granted, bool) else claims["appid"] in granted):
            operation = f"{recorded.method} {recorded.path}"
            raise gateway(
                401,
                "PermissionDenied",
                f"The principal `{claims['oid']}` lacks the required data action "
                f"`Microsoft.CognitiveServices/accounts/OpenAI/*` to perform `{operation}` operation.",
            )

    async def _route(self, exchange: Exchange) -> web.StreamResponse:
        recorded = exchange.recorded
        if recorded.query.get("api-version") not in VERSIONS:
            raise gateway(400, "BadRequest", "API version not supported")
        place = recorded.path.removeprefix(ROOT).split("/") if recorded.path.startswith(ROOT) else []
        match recorded.method, place:
            case "POST", ["responses"]:
                return await self._respond(exchange, _body(recorded))
            case "POST", ["chat", "completions"]:
                return await self._complete(exchange, _body(recorded))
            case "GET", ["models"]:
                return self._json({"object": "list", "data": [self._model(name) for name in sorted(self.deployments)]})
            case "GET", ["models", name] if name in self.deployments:
                return self._json(self._model(name))
            case "GET", ["responses", response_id] if response_id in self._kept:
                return self._json(self._kept[response_id][1])
            case "DELETE", ["responses", response_id] if response_id in self._kept:
                del self._kept[response_id]
                return self._json({"id": response_id, "object": "response", "deleted": True})
            case _, ["responses", response_id]:
                message = f"Response with id '{response_id}' not found."
                raise Refusal(
                    404, {"message": message, "type": "invalid_request_error", "param": "response_id", "code": None}
                )
            case _:
                raise gateway(404, "404", "Resource not found")

    async def _respond(self, exchange: Exchange, body: Mapping[str, Any]) -> web.StreamResponse:
        earlier: list[Any] = []
        previous = body.get("previous_response_id")
        if previous is not None:
            if previous not in self._kept:
                message = f"Previous response with id '{previous}' not found."
                raise invalid(message, "previous_response_id", "previous_response_not_found")
            earlier = self._kept[previous][0]
        prompt = responses_request.read(body, self.deployments, self.reasoning, self.resource, earlier)
        step = await self._step(exchange)
        reasons = prompt.deployment in self.reasoning
        response = Response(
            f"resp_{next(self._numbers):032x}",
            int(self.clock()),
            body,
            answer(prompt, step, reasons=reasons),
            self.resource,
        )
        final = response.final()
        if body.get("store") is not False:
            given = body["input"]
            asked = [{"role": "user", "content": given}] if isinstance(given, str) else given
            kept = [item for item in final["output"] if item["type"] != "reasoning"]
            self._kept[response.id] = ([*earlier, *asked, *kept], final)
            while len(self._kept) > self.keep:
                del self._kept[next(iter(self._kept))]
        streamed = response.pieces() if body.get("stream") else None
        return await self._send(exchange, step, prompt.deployment, final, streamed)

    async def _complete(self, exchange: Exchange, body: Mapping[str, Any]) -> web.StreamResponse:
        prompt = chat_request.read(body, self.deployments, self.reasoning)
        step = await self._step(exchange)
        reasons = prompt.deployment in self.reasoning
        completion = Completion(
            f"chatcmpl-{next(self._numbers):024x}",
            int(self.clock()),
            self.models.get(prompt.deployment, prompt.deployment),
            body,
            answer(prompt, step, reasons=reasons),
        )
        streamed = completion.pieces() if body.get("stream") else None
        return await self._send(exchange, step, prompt.deployment, completion.final(), streamed)

    async def _step(self, exchange: Exchange) -> OpenAIStep:
        step = self._script.next()
        await self.obstruct(exchange, step)
        if step.redirect is not None:
            raise Refusal(307, {"code": "307", "message": "Moved."}, {"Location": step.redirect, **step.headers})
        if step.content_filter == "prompt":
            raise filtered_prompt()
        if step.status is not None and step.status >= 300 and step.body is None:
            raise scripted(step.status, step.error, step.headers)
        return step

    async def _send(
        self,
        exchange: Exchange,
        step: OpenAIStep,
        deployment: str,
        whole: Mapping[str, Any],
        streamed: Iterable[Piece] | None,
    ) -> web.StreamResponse:
        """Send the stream, or else the whole body; between the pieces do what the step says."""
        content_type = "application/json" if streamed is None else "text/event-stream; charset=utf-8"
        headers = {
            **self._headers(),
            "Content-Type": content_type,
            "x-ms-deployment-name": deployment,
            **step.headers,
        }
        if step.body is None and step.raw is None and streamed is None and not step.interrupts:
            exchange.finished = True
            return web.Response(status=step.status or 200, body=json.dumps(whole).encode(), headers=headers)
        if step.raw is not None:
            pieces = list(verbatim(step.raw))
            headers["Content-Type"] = "text/event-stream; charset=utf-8"
        elif step.body is not None:
            pieces = [Piece(step.body.encode())]
        else:
            pieces = list(streamed or cut(whole))
        sent = web.StreamResponse(status=step.status or 200, headers=headers)
        await sent.prepare(exchange.request)
        await self._play(exchange, step, sent, pieces)
        exchange.finished = True
        await sent.write_eof()
        return sent

    async def _play(
        self, exchange: Exchange, step: OpenAIStep, sent: web.StreamResponse, pieces: Sequence[Piece]
    ) -> None:
        """Write the pieces, hold after `after` chunks, and stop or cut the connection where the step says.

        A step that asks for more chunks than there are is obeyed before the end of the answer.
        """
        chunks = sum(piece.kind == "chunk" for piece in pieces)
        stop = step.truncate
        if stop is None and step.reset == "mid":
            stop = step.after or max(1, chunks // 2)
        hold = min(step.after, chunks)
        written = 0
        for piece in pieces:
            over = piece.kind == "end" and written == chunks
            if stop is not None and (written >= stop or over):
                break
            await sent.write(piece.data)
            if piece.kind == "chunk":
                written += 1
                if written == hold:
                    await self.hold(exchange, step)
                await asyncio.sleep(self.pace)
        if stop is not None and step.reset:
            raise exchange.drop(reset=True)

    def _json(self, body: Mapping[str, Any]) -> web.Response:
        return web.json_response(body, headers=self._headers())

    def _model(self, name: str) -> dict[str, Any]:
        capabilities = {"chat_completion": True, "inference": True, "fine_tune": False, "embeddings": False}
        return {
            "id": name,
            "object": "model",
            "created": 1_744_588_800,
            "owned_by": "azure",
            "status": "succeeded",
            "lifecycle_status": "generally-available",
            "capabilities": capabilities,
        }

    def _headers(self) -> dict[str, str]:
        request_id = str(uuid.uuid4())
        used = len(self.requests)
        return {
            "apim-request-id": request_id,
            "x-request-id": request_id,
            "x-ms-region": "Emulated",
            "x-ratelimit-limit-requests": str(self.limit_requests),
            "x-ratelimit-limit-tokens": str(self.limit_tokens),
            "x-ratelimit-remaining-requests": str(max(0, self.limit_requests - used)),
            "x-ratelimit-remaining-tokens": str(max(0, self.limit_tokens - 100 * used)),
            "x-content-type-options": "nosniff",
            "Strict-Transport-Security": "max-age=31536000; includeSubDomains; preload",
        }


def _body(recorded: Recorded) -> Mapping[str, Any]:
    kind = recorded.headers.get("content-type", "")
    if not kind.startswith("application/json"):
        raise gateway(415, "UnsupportedMediaType", f"Unsupported content type: '{kind}'.")
    try:
        body = recorded.json()
    except (ValueError, RecursionError):
        message = (
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP "
            "library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)"
        )
        raise invalid(message, None) from None
    if not isinstance(body, dict):
        raise wrong_type("body", "an object", body)
    return body
