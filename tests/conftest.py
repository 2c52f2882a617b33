"""What the tests share: the emulators, the app on its local host, and a record of all that it told anyone."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dev.emulator import Emulators
from dev.host import Host
from tests.told import Told

ROOT = Path(__file__).parent.parent
PLANTED_KEY = "planted-key-that-must-never-be-used"


@pytest.fixture(scope="session")
def told() -> Iterator[Told]:
    """Everything that the app logs, spans or answers in the whole run; none of it may hold a secret."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    told = Told(exporter)
    root = logging.getLogger()
    root.addHandler(told)
    root.setLevel(logging.DEBUG)
    yield told
    root.removeHandler(told)
    assert told.secrets_in([PLANTED_KEY]) == []


@pytest.fixture(scope="session")
def _emulators() -> Iterator[Emulators]:
    with Emulators.start() as emulators:
        yield emulators


@pytest.fixture
def azure(_emulators: Emulators) -> Iterator[Emulators]:
    """The emulators of Azure, as new. Whatever the test did, no key may have been sent to them."""
    yield _emulators
    keys = [one.path for one in _emulators.openai.requests if "api-key" in one.headers]
    told_twice = [one.path for one in _emulators.openai.requests if PLANTED_KEY in str(one.headers)]
    _emulators.reset()
    assert keys == told_twice == []


@dataclass
class App:
    """The app on its local host, and a caller's connections to it."""

    azure: Emulators
    told: Told
    _running: list[tuple[Host, httpx2.Client]] = field(default_factory=list)

    def start(self, environ: Mapping[str, str | None] | None = None, **options: Any) -> httpx2.Client:
        """Serves the app with these settings over those of the emulators; returns a client for `/api`."""
        settings: dict[str, str | None] = {**self.azure.environ(), **(environ or {})}
        host = Host.start(settings, **{"path": ROOT / "function_app.py", **options})
        client = httpx2.Client(
            base_url=f"{host.url}/api/", timeout=20, trust_env=False, event_hooks={"response": [self.told.hear]}
        )
        self._running.append((host, client))
        return client

    def stop(self) -> None:
        while self._running:
            host, client = self._running.pop()
            client.close()
            host.stop()


@pytest.fixture
def app(azure: Emulators, told: Told) -> Iterator[App]:
    """Serves the app as the test wants it, and stops it."""
    app = App(azure, told)
    yield app
    app.stop()


@pytest.fixture
def caller(app: App) -> httpx2.Client:
    """A caller of the app with the settings that it has by default."""
    return app.start()


@pytest.fixture
def closed_port() -> int:
    """A port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
