"""Azure OpenAI, reached by the app's identity through the openai SDK; the stream is read by this app's own codec."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from shared import errors
from shared.azure.identity import TokenKeeper
from shared.azure.refusal import refusal
from shared.azure.responses_api import Reading, Turn
from shared.events import Events
from shared.sse import Decoder
from shared.telemetry import model_span

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI

    from shared.settings import Settings

HEADERS_THAT_LEAVE = frozenset(
    {"host", "authorization", "content-type", "content-length", "accept", "accept-encoding", "connection", "user-agent"}
)
"""The SDK takes more from the environment (OPENAI_CUSTOM_HEADERS, OPENAI_ORG_ID); of that, nothing leaves."""


class OpenAI:
    """The clients of this worker, one a resource, made on first use."""

    def __init__(self, settings: Settings, keeper: TokenKeeper) -> None:
        self._settings = settings
        self._keeper = keeper
        self._clients: dict[str, AsyncOpenAI] = {}

    async def stream(self, turn: Turn) -> Events:
        """One turn of a model, from `Started` to `Finished`.

        Raises:
            AppError: nothing came (before `Started`), or the answer broke off (after it).
        """
        reading = Reading(turn)
        with model_span("chat", turn.model.deployment, turn.model.base_url) as span:
            async with aclosing(self._chunks(turn)) as chunks:
                decoder = Decoder()
                async for chunk in chunks:
                    for sent in decoder.feed(chunk):
                        for event in reading.read(sent):
                            span.see(event)
                            yield event
                    if reading.done:
                        return
            raise errors.UpstreamInterrupted

    async def warm_up(self) -> None:
        """Loads the SDK. It sends nothing."""
        await asyncio.to_thread(import_module, "openai")

    async def close(self) -> None:
        """Closes the connections of every client."""
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.close()

    async def _chunks(self, turn: Turn) -> AsyncGenerator[bytes, None]:
        client = await self._client(turn.model.base_url)
        token = await self._keeper.token()
        try:
            response = await self._post(client, turn, token)
        except errors.UpstreamUnauthorized:
            another = await self._keeper.another(token)
            if another is None:
                raise
            response = await self._post(client, turn, another)
        import httpx2

        try:
            async for chunk in response.aiter_bytes():
                yield chunk
        except httpx2.HTTPError as error:
            raise errors.UpstreamTimeout if _timed_out(error) else errors.UpstreamInterrupted from None
        finally:
            # This cancels the generation upstream when the caller has left.
            await response.aclose()

    async def _post(self, client: AsyncOpenAI, turn: Turn, token: str) -> httpx2.Response:
        """The response to one request, its body not yet read."""
        import httpx2
        import openai

        try:
            response: object = await client.post(
                "responses",
                body=turn.body(),
                # This pair makes the SDK hand over the response before its body is read.
                cast_to=httpx2.Response,
                stream=True,
                stream_cls=openai.AsyncStream[Any],
                options={
                    "headers": {
                        # Named for each request, as a custom header of the environment would win over the client's own.
                        "Authorization": f"Bearer {token}",
                        "Accept": "text/event-stream",
                        "Accept-Encoding": "identity",
                    }
                },
            )
            return cast(httpx2.Response, response)
        except openai.APIStatusError as error:
            raise refusal(error.status_code, error.response.headers, error.body) from None
        except openai.OpenAIError as error:
            raise errors.UpstreamTimeout if _timed_out(error) else errors.UpstreamUnavailable from None

    async def _client(self, base_url: str) -> AsyncOpenAI:
        if base_url not in self._clients:
            await self.warm_up()
            self._clients.setdefault(base_url, self._new_client(base_url))
        return self._clients[base_url]

    def _new_client(self, base_url: str) -> AsyncOpenAI:
        import httpx2
        import openai

        # At DEBUG the SDK logs whole requests, and OPENAI_LOG could turn that on; httpx2 logs a line a request.
        for name in ("openai", "httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)

        async def keep_to_the_list(request: httpx2.Request) -> None:
            for name in set(request.headers) - HEADERS_THAT_LEAVE:
                del request.headers[name]

        settings = self._settings
        return openai.AsyncOpenAI(
            base_url=base_url,
            # A provider, so that the SDK reads no key from the environment.
            api_key=self._keeper.token,
            organization="",
            project="",
            max_retries=0,
            default_query={"api-version": settings.api_version} if settings.api_version else None,
            http_client=openai.DefaultAioHttpClient(
                # A redirect would carry the prompt to another origin.
                follow_redirects=False,
                timeout=httpx2.Timeout(
                    settings.idle_timeout, connect=settings.connect_timeout, pool=settings.connect_timeout
                ),
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=60),
                event_hooks={"request": [keep_to_the_list]},
            ),
        )


def _timed_out(error: BaseException) -> bool:
    # The SDK's aiohttp transport calls a refused or lost connection a time-out too; the cause tells them apart.
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, TimeoutError):
        cause = cause.__cause__
    return cause is not None
