"""Azure OpenAI's answers: a turn goes to a deployment of the pool, its stream is read by this app's own codec."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic_core import from_json

from shared import errors
from shared.azure.calls import Attempt
from shared.azure.client import Client
from shared.azure.learnt import Learnt
from shared.azure.pool import Pool
from shared.azure.refusal import ForeignReasoning, Unsupported
from shared.azure.responses_api import Reading, Turn
from shared.call import Call
from shared.events import Event, Events, Finished
from shared.models import Deployment
from shared.sse import Decoder
from shared.telemetry import model_span

if TYPE_CHECKING:
    import httpx2


@dataclass(frozen=True, slots=True)
class Probed:
    """What a deployment tells when it is asked for almost nothing; None and empty where it does not tell.

    `requests` and `tokens` are its limits, as its headers say them.
    """

    model: str
    requests: int | None
    tokens: int | None


class OpenAI:
    """What answers a turn: the deployments of the pool, through one client."""

    def __init__(self, client: Client, pool: Pool) -> None:
        self._client = client
        self._pool = pool
        self._learnt = Learnt()

    async def stream(self, turn: Turn, call: Call, *, prefer: str | None = None) -> Events:
        """One turn of a model, from `Started` to `Finished`, within the call's deadline.

        Until the first event of an answer another deployment may take over; after it nothing is tried again. `prefer`
        is the endpoint of the resource that the turn should stay with (that of an earlier `Started`); where that cannot
        be, its encrypted reasoning is left out.

        Raises:
            AppError: nothing came (before `Started`), or the answer broke off (after it).
        """
        now, spent = asyncio.get_running_loop().time, call.spent
        trying = 0.0

        async def attempt(deployment: Deployment, details: Attempt) -> tuple[Event, Events]:
            nonlocal trying
            spent.attempts += 1
            spent.deployment, spent.endpoint = deployment.name, deployment.endpoint
            started = now()
            try:
                events = self._call(turn, deployment, details)
                return await anext(events), events
            finally:
                trying += now() - started

        # What this app itself takes long for must not count against a deployment.
        await self._client.prepare()
        spent.turns += 1
        began = now()
        try:
            answer = await self._pool.run(
                turn.model, attempt, deadline=call.deadline, tokens=turn.tokens, prefer=prefer
            )
        finally:
            spent.waited += now() - began - trying
        with answer:
            first, events = answer.value
            async with aclosing(events):
                yield first
                async for event in events:
                    if isinstance(event, Finished):
                        answer.used(event.usage.input_tokens + event.usage.output_tokens)
                        answer.ended()
                    yield event

    async def _call(self, turn: Turn, deployment: Deployment, details: Attempt) -> Events:
        """The events of one call to a deployment."""
        with model_span("chat", deployment.name, deployment.base_url) as span:
            response = await self._open(turn, deployment, keep_reasoning=not details.crossed)
            reading, decoder = Reading(turn, deployment), Decoder()
            try:
                details.observe(response.headers)
                async with aclosing(self._client.chunks(response, details.deadline)) as chunks:
                    async for chunk in chunks:
                        for sent in decoder.feed(chunk):
                            for event in reading.read(sent):
                                span.see(event)
                                yield event
                        if reading.done:
                            return
                raise errors.UpstreamInterrupted
            finally:
                if reading.done:
                    self._client.retire(response)
                else:
                    # This cancels the generation upstream when the caller has left.
                    await response.aclose()

    async def ask(self, base_url: str) -> None:
        """Asks a resource which models there are, which spends nothing: may the identity use it?

        Raises:
            AppError: it may not, or there is no sensible answer.
        """
        await self._client.whole(base_url, "models")

    async def probe(self, deployment: Deployment) -> Probed:
        """Has a deployment answer in 16 tokens, the least that there is.

        Raises:
            AppError: it does not answer.
        """
        body = {"model": deployment.name, "input": "Say OK.", "max_output_tokens": 16, "store": False}
        response = await self._client.whole(deployment.base_url, "responses", body)
        try:
            named = from_json(response.content)["model"]
        except (ValueError, TypeError, KeyError):
            raise errors.UpstreamUnavailable from None
        return Probed(
            named if isinstance(named, str) and re.fullmatch(r"[\w.:-]{1,80}", named) else "",
            _limit(response.headers, "requests"),
            _limit(response.headers, "tokens"),
        )

    async def _open(self, turn: Turn, deployment: Deployment, *, keep_reasoning: bool) -> httpx2.Response:
        """The response to one turn, its body not yet read; sent again without what this deployment refuses."""
        while True:
            body = turn.body(deployment.name, keep_reasoning=keep_reasoning)
            self._learnt.leave_out(deployment, body)
            try:
                return await self._client.send(deployment.base_url, body)
            except Unsupported as refused:
                if not self._learnt.learn(deployment, body, refused):
                    raise
            except ForeignReasoning:
                if not (keep_reasoning and turn.reasons):
                    raise
                keep_reasoning = False


def _limit(headers: httpx2.Headers, what: str) -> int | None:
    value = headers.get(f"x-ratelimit-limit-{what}", "")
    return int(value) if re.fullmatch(r"\d{1,12}", value) else None
