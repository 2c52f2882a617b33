"""Where may a tool reach?  An HTTP client that gets JSON from named places of the public internet only.

A request leaves only for an origin that was named when the client was made, over https, to a public address. The name
is resolved once for a connection, and the address is checked at the moment when its socket is made, so that no later
answer of a name server counts. There are no redirects, proxies, cookies or compressed bodies. The one exception is a
literal loopback address on a development host.
"""

from __future__ import annotations

import asyncio
import copy
import importlib
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from pydantic_core import from_json

from shared.address import Address, is_public
from shared.origin import Origin, path_and_query

if TYPE_CHECKING:
    import ssl

    import aiohttp
    from aiohttp.abc import AbstractResolver

Query = Mapping[str, str | int | float]

MAX_BYTES = 1_000_000
"""The largest answer that is read, in bytes."""

CONNECTIONS = 20
"""How many connections are open at once, to all places together."""

_FIXED_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}
_NOT_A_TOOLS_HEADERS = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "cookie"}
)


class EgressError(Exception):
    """A tool's request brought no answer. The text holds no address, no key and no word of the other side."""


class EgressRefused(EgressError):
    """The request may not leave: its address is not one that the tool may reach."""


class EgressFailed(EgressError):
    """The other side did not answer as it should. `status` is its HTTP status, if it sent one."""

    def __init__(self, message: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


def origin_problem(
    url: str, *, development: bool, never: Iterable[str] = (), public: Callable[[Address], bool] = is_public
) -> str | None:
    """What is wrong with a setting that names where a tool may reach, or None.

    `never` are URLs that no setting may open, as the identity endpoint's.
    """
    try:
        origin = Origin.of(url)
    except ValueError as problem:
        return str(problem)
    closed = [_host_and_port(other) for other in never]
    if origin.loopback and not development:
        return "is a loopback address, which only a development host may name."
    if any(port == origin.port if origin.loopback else host == origin.host for host, port in closed):
        return "is the identity endpoint's, which no tool may reach."
    if origin.scheme != "https" and not origin.loopback:
        return "must begin with https://. (Plain http is only for 127.0.0.1 or [::1] on a development host.)"
    if origin.address and not origin.loopback and not public(origin.address):
        return "is not a public address."
    return None


def _host_and_port(url: str) -> tuple[str | None, int | None]:
    """Where a URL leads that the platform set: read leniently, for it is only ever closed."""
    try:
        parts = urlsplit(url)
        return parts.hostname, parts.port
    except ValueError:
        return None, None


class Egress:
    """A worker's one client for its tools. It loads and opens nothing before its first request."""

    def __init__(
        self,
        allowed: Iterable[str] = (),
        *,
        development: bool = False,
        never: Iterable[str] = (),
        timeout: float = 10.0,
        public: Callable[[Address], bool] = is_public,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Opens the way to the origins of the URLs in `allowed`.

        `never` are URLs that stay closed whatever is allowed. `timeout` bounds one request, in seconds. `public`
        decides on an address, `resolver` resolves a name, `tls` trusts a certificate; each has a sound default.

        Raises:
            EgressRefused: one of `allowed` cannot be opened. The text says why, and not which.
        """
        allowed, never = tuple(allowed), tuple(never)
        for url in allowed:
            if problem := origin_problem(url, development=development, never=never, public=public):
                raise EgressRefused(f"A tool's address {problem}")
        self._allowed = frozenset(Origin.of(url) for url in allowed)
        self._timeout = timeout
        literal = frozenset((origin.address, origin.port) for origin in self._allowed if origin.loopback)
        self._wire = _Wire(lambda address, port: public(address) or (address, port) in literal, resolver, tls)

    def only(self, origins: Iterable[str]) -> Self:
        """The same client with fewer places to reach: those of its own that are also among `origins`."""
        narrower = copy.copy(self)
        narrower._allowed = self._allowed & frozenset(map(Origin.of, origins))  # noqa: SLF001 - it is one of these
        return narrower

    async def get_json(
        self,
        url: str,
        params: Query | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> Any:
        """What the JSON at a URL says. `deadline` is in seconds of `time.monotonic()`.

        Raises:
            EgressRefused: the URL is of no origin that may be reached, or its name has no public address.
            EgressFailed: no answer in time, another status than 2xx, or no JSON of a sensible size.
        """
        try:
            origin = Origin.of(url)
        except ValueError as problem:
            raise EgressRefused(f"The address {problem}") from None
        if origin not in self._allowed:
            raise EgressRefused("The address is not one that the tool may reach.")
        if refused := _NOT_A_TOOLS_HEADERS & {name.lower() for name in headers or ()}:
            raise EgressRefused(f"A tool does not set the header {min(refused)}.")
        seconds = self._timeout if deadline is None else min(self._timeout, deadline - time.monotonic())
        if seconds <= 0:
            raise EgressFailed("There was no time left for the request.")
        return await self._wire.get_json(origin, url, params or {}, headers or {}, seconds)

    async def close(self) -> None:
        """Closes the connections of this client and of every narrower one made from it."""
        await self._wire.close()


class _Wire:
    """The session that a client and its narrower ones share."""

    def __init__(
        self,
        may_connect: Callable[[Address, int], bool],
        resolver: AbstractResolver | None,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._may_connect = may_connect
        self._resolver = resolver
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def get_json(
        self, origin: Origin, url: str, params: Query, headers: Mapping[str, str], seconds: float
    ) -> Any:
        session = self._session or await self._open()
        import aiohttp
        from yarl import URL

        # Built from its checked parts, so that no other parser has a say in where the host ends.
        path, query = path_and_query(url)
        target = URL.build(
            scheme=origin.scheme,
            host=origin.host,
            port=origin.port,
            path=path,
            query_string=query,
            encoded=True,
        )
        limit = aiohttp.ClientTimeout(total=seconds)
        try:
            async with session.get(
                target.update_query(params), headers=headers, timeout=limit, allow_redirects=False
            ) as response:
                return await _json(response)
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, _AddressRefused):
                raise EgressRefused("The name does not belong to a public address.") from None
            raise EgressFailed("The service could not be reached.") from None
        except TimeoutError:
            raise EgressFailed("The service did not answer in time.") from None
        except aiohttp.ClientError:
            raise EgressFailed("The service broke off its answer.") from None

    async def _open(self) -> aiohttp.ClientSession:
        await asyncio.to_thread(importlib.import_module, "aiohttp")  # it takes a while, the first time
        import aiohttp

        if self._session is None:  # asked again: another request may have opened it meanwhile
            connector = aiohttp.TCPConnector(
                resolver=self._resolver,
                use_dns_cache=False,
                ssl=self._tls or True,
                socket_factory=self._socket,
                limit=CONNECTIONS,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                headers=_FIXED_HEADERS,
            )
        return self._session

    def _socket(self, target: tuple[Any, ...]) -> socket.socket:
        """The one place where a socket is made, with the very address that it is then connected to."""
        family, kind, protocol, _, (host, port, *_) = target
        if not self._may_connect(ip_address(host), port):
            raise _AddressRefused
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()


class _AddressRefused(OSError):
    """An address is not public."""


async def _json(response: aiohttp.ClientResponse) -> Any:
    status = response.status
    if not 200 <= status < 300:
        what = "a redirect, which is not followed" if 300 <= status < 400 else f"status {status}"
        raise EgressFailed(f"The service answered with {what}.", status)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise EgressFailed("The service compressed its answer although it was asked not to.", status)
    body = bytearray()
    async for chunk in response.content.iter_chunked(65536):
        body += chunk
        if len(body) > MAX_BYTES:
            raise EgressFailed("The service's answer is too large.", status)
    try:
        return from_json(bytes(body), allow_inf_nan=False)
    except ValueError:
        raise EgressFailed("The service's answer is not JSON.", status) from None
