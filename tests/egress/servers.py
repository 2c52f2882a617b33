"""Servers on loopback, and a name server with scripted answers."""

from __future__ import annotations

import asyncio
import socket
import ssl
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

NAME = "api.example.com"


OWN = IPv4Address("127.0.0.2")
"""An address that these tests take for a public one, so that a name can lead to a server of theirs."""


def taken_for_public(address: IPv4Address | IPv6Address) -> bool:
    return address == OWN


class Names(AbstractResolver):
    """A name server with scripted answers, the last of which is repeated."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002
    ) -> list[ResolveResult]:
        self.asked.append(host)
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        pass


class Server:
    """A server on loopback that counts its connections and requests, and answers as it is told."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests: list[web.BaseRequest] = []
        self.response: dict[str, Any] = {"text": '{"ok": true}'}
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        await self.may_answer.wait()
        return web.Response(**self.response)


async def serve(host: str, port: int = 0, tls: ssl.SSLContext | None = None) -> tuple[Server, web.ServerRunner]:
    server = Server()

    class Counting(web.Server):
        def __call__(self) -> Any:
            server.connections += 1
            return super().__call__()

    runner = web.ServerRunner(Counting(server.answer, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, port, ssl_context=tls).start()
    server.port = runner.addresses[0][1]
    return server, runner
