"""A client of a server on loopback, and what listens where the identity endpoint would."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from dev.emulator.certificate import Authority
from shared.egress import Egress
from tests.egress.servers import Server, serve


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server, runner = await serve("127.0.0.1")
    yield server
    await runner.cleanup()


@pytest.fixture
async def identity() -> AsyncIterator[Server]:
    """What listens where the platform's identity endpoint would."""
    server, runner = await serve("127.0.0.1")
    yield server
    await runner.cleanup()


@pytest.fixture
async def egress(server: Server) -> AsyncIterator[Egress]:
    egress = Egress([server.url], development=True)
    yield egress
    await egress.close()


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    authority = Authority()
    yield authority
    authority.close()
