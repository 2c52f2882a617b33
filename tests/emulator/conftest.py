"""Emulators on loopback sockets, and unmodified clients of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from azure.identity.aio import ManagedIdentityCredential
from openai import AsyncOpenAI

from dev.emulator import Emulators


@pytest.fixture
def emulators() -> Iterator[Emulators]:
    with Emulators.start() as started:
        yield started


@pytest.fixture
async def credential(emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ManagedIdentityCredential]:
    for name, value in emulators.environ().items():
        monkeypatch.setenv(name, value)
    async with ManagedIdentityCredential(retry_total=0) as made:
        yield made


@pytest.fixture
async def client(emulators: Emulators) -> AsyncIterator[AsyncOpenAI]:
    async def token() -> str:
        return emulators.identity.mint()

    async with AsyncOpenAI(base_url=f"{emulators.openai.url}/openai/v1/", api_key=token, max_retries=0) as made:
        yield made


@pytest.fixture
async def http(emulators: Emulators) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": f"Bearer {emulators.identity.mint()}"}
    async with aiohttp.ClientSession(f"{emulators.openai.url}/openai/v1/", headers=headers) as made:
        yield made
