"""The Functions host in front of the worker: CORS, routes, keys, invocation ids. A plain ASGI app."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dev.invocation import Context, Invocation
from dev.routes import Router
from dev.rules import Function
from dev.worker import SCOPE_KEY

log = logging.getLogger("dev.front")

INVOCATION_ID = b"x-ms-invocation-id"

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Cors:
    """Which web origins may call, as `Host.CORS` and `Host.CORSCredentials` say in local.settings.json."""

    origins: tuple[str, ...] = ()
    credentials: bool = False

    @classmethod
    def parse(cls, origins: str = "", *, credentials: bool = False) -> Cors:
        """`origins` is a comma list, or `*`.

        Raises:
            ValueError: credentials for every origin, which the host and every browser refuse.
        """
        named = tuple(dict.fromkeys(word.strip().rstrip("/") for word in origins.split(",") if word.strip()))
        if credentials and "*" in named:
            raise ValueError("CORSCredentials cannot be true with CORS '*': name the origins")
        return cls(named, credentials)

    def headers(self, origin: str) -> Headers | None:
        """What an answer to `origin` carries; None when that origin may not call."""
        if "*" in self.origins:
            return [(b"access-control-allow-origin", b"*")]
        if origin.lower() not in (known.lower() for known in self.origins):
            return None
        found = [(b"access-control-allow-origin", origin.encode("latin-1"))]
        if self.credentials:
            found.append((b"access-control-allow-credentials", b"true"))
        if len(self.origins) > 1:
            found.append((b"vary", b"Origin"))
        return found


class Front:
    """Finds a request's function, or answers itself: a preflight (204), no such route (404), no key (401).

    `key` is None where keys are not enforced, which is the way of a development host.
    """

    def __init__(
        self, worker: ASGIApp, functions: Iterable[Function], *, prefix: str, cors: Cors, key: str | None
    ) -> None:
        self._worker = worker
        self._functions = {function.name: function for function in functions}
        self._router = Router((f.route for f in self._functions.values() if f.route is not None), prefix)
        self._cors = cors
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request (`http` scopes only)."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        origin = headers.get("origin")
        extra: Headers = []
        allowed = self._cors.headers(origin) if origin is not None else None
        if origin is not None and allowed is None:
            log.warning("the web origin %.100s may not call; Host.CORS in local.settings.json names who may", origin)
        if self._cors.origins and origin is not None:
            if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
                await _answer(send, 204, _preflight(allowed, headers))
                return
            extra = allowed or []
        found = self._router.match(scope["raw_path"].decode("latin-1"), scope["method"])
        if found is None:
            await _answer(send, 404, extra)
            return
        function = self._functions[found[0].function]
        if not self._admits(function, headers, scope["query_string"]):
            await _answer(send, 401, extra)
            return
        context = Context.of(function, headers)
        kept = [(name, value) for name, value in scope["headers"] if name != INVOCATION_ID]
        inner = {
            **scope,
            "headers": [*kept, (INVOCATION_ID, context.invocation_id.encode())],
            SCOPE_KEY: Invocation(function, found[1], context),
        }
        await self._worker(inner, receive, _with_headers(send, extra) if extra else send)

    def _admits(self, function: Function, headers: dict[str, str], query: bytes) -> bool:
        if self._key is None or function.auth_level == "anonymous":
            return True
        given = headers.get("x-functions-key") or parse_qs(query.decode("latin-1")).get("code", [""])[0]
        return hmac.compare_digest(given.encode(), self._key.encode())


def _preflight(allowed: Headers | None, headers: dict[str, str]) -> Headers:
    if allowed is None:
        return []
    found = [
        *allowed,
        (b"access-control-allow-methods", headers["access-control-request-method"].encode("latin-1")),
    ]
    if asked := headers.get("access-control-request-headers"):
        found.append((b"access-control-allow-headers", asked.encode("latin-1")))
    return found


def _with_headers(send: Send, extra: Headers) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *extra]}
        await send(message)

    return sending


async def _answer(send: Send, status: int, headers: Headers) -> None:
    length: Headers = [] if status == 204 else [(b"content-length", b"0")]
    await send({"type": "http.response.start", "status": status, "headers": [*length, *headers]})
    await send({"type": "http.response.body", "body": b""})
