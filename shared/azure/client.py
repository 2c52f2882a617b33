"""Requests to Azure OpenAI by the app's identity, through the openai SDK: a body out, a response's bytes in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from pydantic_core import from_json

from shared import errors
from shared.azure.identity import TokenKeeper
from shared.azure.payload import Payload
from shared.azure.refusal import refusal
from shared.endpoint import LOOPBACK_HOSTS

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


class Client:
    """The SDK's clients of this worker, one a resource, made on first use."""

    def __init__(self, settings: Settings, keeper: TokenKeeper) -> None:
        self._settings = settings
        self._keeper = keeper
        self._clients: dict[str, AsyncOpenAI] = {}
        self._retiring: set[asyncio.Task[None]] = set()

    async def prepare(self) -> None:
        """Has what every request needs: the SDK, and a token. Nothing of it counts against a deployment.

        Raises:
            IdentityUnavailable: there is no token.
        """
        if not self._clients:
            await self.warm_up()
        await self._keeper.token()

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

    async def send(self, base_url: str, body: dict[str, Any]) -> httpx2.Response:
        """The response to a turn, its body not yet read: read it by `chunks`, then `retire` or close it.

        Raises:
            AppError: it is refused, or does not come.
        """
        client = await self._client(base_url)
        return await self._authorized(lambda token: self._post(client, body, token))

    async def whole(self, base_url: str, path: str, body: dict[str, Any] | None = None) -> httpx2.Response:
        """A response with its body: to a POST of `body`, or to a GET.

        Raises:
            AppError: it is refused, or does not come.
        """
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

    async def chunks(self, response: httpx2.Response, deadline: float) -> AsyncGenerator[bytes, None]:
        """The bytes of a response, until the deadline in the event loop's seconds.

        Raises:
            UpstreamInterrupted, UpstreamTimeout: they break off.
        """
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

    def retire(self, response: httpx2.Response) -> None:
        """Reads a complete answer's body to its end beside the caller: a connection that is cut serves no more."""

        async def read_on() -> None:
            try:
                deadline = asyncio.get_running_loop().time() + REST_OF_BODY
                async with aclosing(self.chunks(response, deadline)) as chunks:
                    async for _ in chunks:
                        pass
            except errors.AppError:
                pass
            finally:
                await response.aclose()

        task = asyncio.create_task(read_on())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

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
