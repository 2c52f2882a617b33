"""Where is a resource in the network, and does it answer there?  DNS, TCP and TLS, without a request."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Self
from urllib.parse import urlsplit

Fault = Literal["unknown", "refused", "silent", "no-route", "untrusted", "expired", "misnamed", "no-tls"]

_EXPIRED, _MISNAMED = 10, (62, 64)
"""OpenSSL's codes of a certificate that is out of date, or another host's (by name, by address)."""


class Unreached(Exception):
    """It was not reached; `fault` says at what it failed."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault: Fault = fault


@dataclass(frozen=True, slots=True)
class Place:
    """One end to connect to."""

    host: str
    port: int
    tls: bool

    @property
    def name(self) -> str:
        """The host, and the port where it is another than its scheme's."""
        usual = 443 if self.tls else 80
        return self.host if self.port == usual else f"{self.host}:{self.port}"

    @classmethod
    def of(cls, url: str) -> Self:
        """The place of an http or https URL."""
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        return cls(parts.hostname or "", parts.port or (443 if tls else 80), tls)


async def resolve(place: Place, within: float) -> tuple[str, ...]:
    """The addresses of the place's name.

    Raises:
        Unreached: it has none, or nobody said so within so many seconds.
    """
    try:
        async with asyncio.timeout(within):
            found = await asyncio.get_running_loop().getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise Unreached("silent") from None
    except OSError:
        raise Unreached("unknown") from None
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def kind_of(address: str) -> str:
    """Whether an address is public, private or this machine."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if parsed.is_loopback:
        return "this machine"
    return "private" if parsed.is_private else "public"


async def connect(place: Place, trust: Callable[[], Awaitable[ssl.SSLContext]], within: float) -> str:
    """Connects and says goodbye; returns the version of TLS, or nothing where the place has none.

    Raises:
        Unreached: no connection, or none that can be trusted, within so many seconds.
    """
    context = await trust() if place.tls else None
    try:
        async with asyncio.timeout(within):
            _, writer = await asyncio.open_connection(place.host, place.port, ssl=context)
    except TimeoutError:
        raise Unreached("silent") from None
    except ConnectionRefusedError:
        raise Unreached("refused") from None
    except ssl.SSLCertVerificationError as error:
        raise Unreached(_distrust(error.verify_code)) from None
    except (ssl.SSLError, ConnectionError):
        # Something listens, and hangs up or speaks otherwise: no route would be another error.
        raise Unreached("no-tls" if place.tls else "refused") from None
    except OSError:
        raise Unreached("no-route") from None
    secured = writer.get_extra_info("ssl_object")
    writer.close()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(1):
            await writer.wait_closed()
    return "" if secured is None else str(secured.version())


def _distrust(code: int) -> Fault:
    if code == _EXPIRED:
        return "expired"
    return "misnamed" if code in _MISNAMED else "untrusted"
