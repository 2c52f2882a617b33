"""Azure OpenAI, reached by the app's identity through the openai SDK; the stream is read by this app's own codec."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from pydantic_core import from_json

from shared import errors
from shared.azure.calls import Attempt
from shared.azure.identity import TokenKeeper
from shared.azure.learnt import Learnt
from shared.azure.payload import Payload
from shared.azure.pool import Pool
from shared.azure.refusal import ForeignReasoning, Unsupported, refusal
from shared.azure.responses_api import Reading, Turn
from shared.call import Call
from shared.endpoint import LOOPBACK_HOSTS
from shared.events import Event, Events, Finished
from shared.models import Deployment
from shared.sse import Decoder
from shared.telemetry import model_span

if TYPE_CHECKING:
    import ssl

    import httpx2
    from openai import AsyncOpenAI

    from shared.settings import Settings

log = logging.getLogger("app.openai")

HEADERS_THAT_LEAVE = frozenset({"authorization", "content-length", "accept", "accept-encoding"})
"""What is kept of a request's headers as the SDK makes them: it takes more from the environment
(OPENAI_CUSTOM_HEADERS, OPENAI_ORG_ID). The others are set here."""

LONGEST_ERROR_BODY = 64_000
"""Bytes of a refusal that are read; its code is all that is wanted."""

REST_OF_BODY = 0.25
"""Seconds that the end of a complete answer's body may take; then its connection is not used again."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What a deployment tells when it is asked for almost nothing; None and empty where it does not tell.

    `requests` and `tokens` are its limits, as its headers say them.
    """

    model: str
    requests: int | None
    tokens: int | None


class OpenAI:
    """The clients of this worker, one a resource, made on first use."""

    def __init__(self, settings: Settings, keeper: TokenKeeper, pool: Pool) -> None:
        self._settings = settings
        self._keeper = keeper
        self._pool = pool
        self._learnt = Learnt()
        self._clients: dict[str, AsyncOpenAI] = {}
        self._retiring: set[asyncio.Task[None]] = set()

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
        if not self._clients:
            await self.warm_up()
        await self._keeper.token()
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
                async with aclosing(self._chunks(response, details.deadline)) as chunks:
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
                    self._retire(response)
                else:
                    # This cancels the generation upstream when the caller has left.
                    await response.aclose()

    async def ask(self, base_url: str) -> None:
        """Asks a resource which models there are, which spends nothing: may the identity use it?

        Raises:
            AppError: it may not, or there is no sensible answer.
        """
        await self._whole(base_url, "models")

    async def probe(self, deployment: Deployment) -> Probed:
        """Has a deployment answer in 16 tokens, the least that there is.

        Raises:
            AppError: it does not answer.
        """
        body = {"model": deployment.name, "input": "Say OK.", "max_output_tokens": 16, "store": False}
        response = await self._whole(deployment.base_url, "responses", body)
        try:
            named = from_json(response.content)["model"]
        except (ValueError, TypeError, KeyError):
            raise errors.UpstreamUnavailable from None
        return Probed(
            named if isinstance(named, str) and re.fullmatch(r"[\w.:-]{1,80}", named) else "",
            _limit(response.headers, "requests"),
            _limit(response.headers, "tokens"),
        )

    async def trust(self) -> ssl.SSLContext:
        """Whose certificates these clients trust.

        Raises:
            Misconfigured: the environment names others, which cannot be read.
        """
        await self.warm_up()
        import httpx2

        try:
            return await asyncio.to_thread(httpx2.create_ssl_context)
        except (OSError, ValueError):
            raise _no_client() from None

    async def warm_up(self) -> None:
        """Loads the SDK. It sends nothing."""
        await asyncio.to_thread(import_module, "openai")

    async def close(self) -> None:
        """Closes the connections of every client."""
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.close()

    async def _chunks(self, response: httpx2.Response, deadline: float) -> AsyncGenerator[bytes, None]:
        body = response.aiter_bytes()
        now = asyncio.get_running_loop().time
        try:
            while True:
                # The transport's own time-out is lost when a chunk is malformed.
                async with asyncio.timeout_at(min(deadline, now() + self._settings.idle_timeout)):
                    try:
                        chunk = await anext(body)
                    except StopAsyncIteration:
                        return
                yield chunk
        except Exception as error:  # noqa: BLE001 - the transport raises more than its documented errors
            raise _translated(error, errors.UpstreamInterrupted) from None

    def _retire(self, response: httpx2.Response) -> None:
        """Reads a complete answer's body to its end beside the caller: a connection that is cut serves no more."""

        async def read_on() -> None:
            try:
                deadline = asyncio.get_running_loop().time() + REST_OF_BODY
                async with aclosing(self._chunks(response, deadline)) as chunks:
                    async for _ in chunks:
                        pass
            except errors.AppError:
                pass
            finally:
                await response.aclose()

        task = asyncio.create_task(read_on())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _open(self, turn: Turn, deployment: Deployment, *, keep_reasoning: bool) -> httpx2.Response:
        """The response to one turn, its body not yet read; sent again without what this deployment refuses."""
        while True:
            body = turn.body(deployment.name, keep_reasoning=keep_reasoning)
            self._learnt.leave_out(deployment, body)
            try:
                return await self._send(deployment.base_url, body)
            except Unsupported as refused:
                if not self._learnt.learn(deployment, body, refused):
                    raise
            except ForeignReasoning:
                if not (keep_reasoning and turn.reasons):
                    raise
                keep_reasoning = False

    async def _send(self, base_url: str, body: dict[str, Any]) -> httpx2.Response:
        """The response to one request, its body not yet read."""
        client = await self._client(base_url)
        return await self._authorized(lambda token: self._post(client, body, token))

    async def _whole(self, base_url: str, path: str, body: dict[str, Any] | None = None) -> httpx2.Response:
        """A response with its body: to a POST of `body`, or to a GET."""
        client = await self._client(base_url)
        import httpx2

        async def send(token: str) -> httpx2.Response:
            options: Any = {"headers": _headers(token)}
            try:
                if body is None:
                    return await client.get(path, cast_to=httpx2.Response, options=options)
                return await client.post(path, body=body, cast_to=httpx2.Response, options=options)
            except Exception as error:  # noqa: BLE001 - as above
                raise _translated(error, errors.UpstreamUnavailable) from None

        return await self._authorized(send)

    async def _authorized(self, send: Callable[[str], Awaitable[httpx2.Response]]) -> httpx2.Response:
        """What is sent with the app's token; one that is refused is replaced once."""
        token = await self._keeper.token()
        try:
            return await send(token)
        except errors.UpstreamUnauthorized:
            another = await self._keeper.another(token)
            if another is None:
                raise
            return await send(another)

    async def _post(self, client: AsyncOpenAI, body: dict[str, Any], token: str) -> httpx2.Response:
        import httpx2
        import openai

        payload = Payload(body)
        headers = {
            **_headers(token),
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            "Content-Length": f"{payload.size}",
        }
        try:
            response: object = await client.post(
                "responses",
                content=payload.content,
                # This pair makes the SDK hand over the response before its body is read.
                cast_to=httpx2.Response,
                stream=True,
                stream_cls=openai.AsyncStream[Any],
                options={"headers": headers},
            )
        except Exception as error:  # noqa: BLE001 - as above
            if not isinstance(error, errors.AppError):
                log.warning("no answer from %s: %s", client.base_url.host, _reason(error))
            raise _translated(error, errors.UpstreamUnavailable) from None
        return cast(httpx2.Response, response)

    async def _client(self, base_url: str) -> AsyncOpenAI:
        if base_url not in self._clients:
            await self.warm_up()
            try:
                self._clients.setdefault(base_url, self._new_client(base_url))
            except Exception:  # noqa: BLE001 - the environment has a hundred ways to be wrong here
                raise _no_client() from None
        return self._clients[base_url]

    def _new_client(self, base_url: str) -> AsyncOpenAI:
        import httpx2
        import openai

        # At DEBUG the SDK logs whole requests, and OPENAI_LOG could turn that on; httpx2 logs a line a request.
        for name in ("openai", "httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)
        address = httpx2.URL(base_url)

        async def keep_to_the_list(request: httpx2.Request) -> None:
            for name in set(request.headers) - HEADERS_THAT_LEAVE:
                del request.headers[name]
            request.headers["host"] = address.netloc.decode()
            request.headers["content-type"] = "application/json"
            request.headers["user-agent"] = f"keyless-ai-backend openai-python/{openai.__version__}"

        async def refuse_here(response: httpx2.Response) -> None:
            # The SDK would read a refusal's body to its end, however long, and trip over one that breaks off.
            if not response.is_success:
                error = refusal(response.status_code, response.headers, await _code_of(response))
                if isinstance(error, errors.UpstreamUnavailable):
                    log.warning("no answer from %s: status %d", address.host, response.status_code)
                raise error

        settings = self._settings
        return openai.AsyncOpenAI(
            base_url=base_url,
            # A provider, so that the SDK reads no key from the environment. Each request has its own token.
            api_key=_no_key,
            organization="",
            project="",
            max_retries=0,
            default_query={"api-version": settings.api_version} if settings.api_version else None,
            http_client=openai.DefaultAioHttpClient(
                # A redirect would carry the prompt to another origin.
                follow_redirects=False,
                # What is on this machine has no part with a proxy.
                trust_env=address.host not in LOOPBACK_HOSTS,
                timeout=httpx2.Timeout(
                    settings.idle_timeout, connect=settings.connect_timeout, pool=settings.connect_timeout
                ),
                # Zero is aiohttp's word for no limit; how many calls there may be is not the transport's to say.
                limits=httpx2.Limits(max_connections=0, keepalive_expiry=60),
                event_hooks={"request": [keep_to_the_list], "response": [refuse_here]},
            ),
        )


def _headers(token: str) -> dict[str, str]:
    # Named for each request, as a custom header of the environment would win over the client's own.
    return {"Authorization": f"Bearer {token}", "Accept": "application/json"}


def _limit(headers: httpx2.Headers, what: str) -> int | None:
    value = headers.get(f"x-ratelimit-limit-{what}", "")
    return int(value) if re.fullmatch(r"\d{1,12}", value) else None


def _no_client() -> errors.AppError:
    return errors.Misconfigured(
        "The app's HTTP client cannot be made. Its operator should check SSL_CERT_FILE, SSL_CERT_DIR and the proxy"
        " variables of its environment."
    )


async def _no_key() -> str:
    return ""


async def _code_of(response: httpx2.Response) -> Any:
    """The body of a refusal as JSON, or None when it is none, too long, or does not come."""
    body = bytearray()
    try:
        async with asyncio.timeout(REST_OF_BODY):
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > LONGEST_ERROR_BODY:
                    return None
        return from_json(bytes(body))
    except Exception:  # noqa: BLE001 - the status says enough
        return None
    finally:
        await response.aclose()


def _reason(error: BaseException) -> str:
    """The kind of failure that is at the bottom of this one; never its text, which can hold what was sent."""
    while error.__cause__ is not None:
        error = error.__cause__
    return type(error).__name__


def _translated(error: Exception, otherwise: type[errors.AppError]) -> errors.AppError:
    """What a failure of the transport means. The SDK's own calls a refused or lost connection a time-out too; the cause
    tells them apart."""
    if isinstance(error, errors.AppError):
        return error
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, TimeoutError):
        cause = cause.__cause__
    return otherwise() if cause is None else errors.UpstreamTimeout()
