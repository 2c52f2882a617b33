"""All emulators together, on one event loop: in a thread of their own, or in the foreground."""

from __future__ import annotations

import asyncio
import ssl
import threading
from types import TracebackType
from typing import Any

from aiohttp import web

from dev.emulator import tokens
from dev.emulator.certificate import Authority
from dev.emulator.control import Control
from dev.emulator.identity import IdentityEmulator
from dev.emulator.keyvault import KeyVaultEmulator
from dev.emulator.openai import OpenAIEmulator
from dev.emulator.service import Service
from dev.emulator.weather import WeatherEmulator

BODY_LIMIT = 256 * 1024**2


class Emulators:
    """The emulated platform: `identity`, `openai` and `vault`, which trust the same tenant; and `weather`."""

    def __init__(self) -> None:
        self.identity = IdentityEmulator()
        self.openai = OpenAIEmulator()
        self.vault = KeyVaultEmulator()
        self.weather = WeatherEmulator()
        self._authority: Authority | None = None
        self._runners: list[web.AppRunner] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @classmethod
    def start(cls, identity_port: int = 0, openai_port: int = 0) -> Emulators:
        """Serve in a thread of their own, until `stop` or the end of the `with`; port 0 takes any that is free.

        Raises:
            OSError: a port is taken.
        """
        emulators = cls()
        loop = emulators._loop = asyncio.new_event_loop()
        emulators._thread = threading.Thread(target=loop.run_forever, name="emulators", daemon=True)
        emulators._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(emulators.open(identity_port, openai_port), loop).result()
        except OSError:
            emulators.stop()
            raise
        return emulators

    def stop(self) -> None:
        """Cut what is unfinished, close the sockets, and end the thread. A second call does nothing."""
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None

    def __enter__(self) -> Emulators:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def clear(self) -> None:
        """Forget steps, records, gates and cancellations of all; what was set on them stays."""
        for service in self._services:
            service.clear()

    def remember(self) -> None:
        """Take what is set on all now for what `reset` comes back to; at first that is what they start with."""
        for service in self._services:
            service.remember()

    def reset(self) -> None:
        """Forget everything of all, what was set on them too."""
        for service in self._services:
            service.reset()

    async def open(self, identity_port: int = 0, openai_port: int = 0) -> None:
        """Listen on 127.0.0.1, on the running loop. Raises OSError when a port is taken."""
        tokens.signing_key()
        self._authority = self._authority or Authority()
        try:
            await self._listen(self.identity, identity_port)
            await self._listen(self.openai, openai_port)
            await self._listen(self.vault, 0, self._authority.server_context("127.0.0.1"))
            await self._listen(self.weather, 0)
            self.remember()
        except OSError:
            await self.close()
            raise

    async def close(self) -> None:
        """Cut what is unfinished and close the sockets."""
        for service in self._services:
            service.release()
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()
        if self._authority is not None:
            self._authority.close()
            self._authority = None

    @property
    def ca_file(self) -> str:
        """The authority that a client of the vault must trust: a PEM file, there while the emulators listen."""
        if self._authority is None:
            raise RuntimeError("the emulators do not listen")
        return self._authority.ca_file

    @property
    def _services(self) -> tuple[Service[Any], ...]:
        return (self.identity, self.openai, self.vault, self.weather)

    def environ(self, client_id: str | None = None) -> dict[str, str]:
        """The variables that point the application here; with `client_id`, at this user-assigned identity."""
        values = {
            "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
            "AZURE_OPENAI_DEPLOYMENT": self.openai.default_deployment,
            "AZURE_OPENAI_ENDPOINT": self.openai.url,
            "IDENTITY_ENDPOINT": self.identity.endpoint,
            "IDENTITY_HEADER": self.identity.header,
        }
        if self._authority is not None:
            values |= {
                "KEY_VAULT_URL": self.vault.url,
                "KEY_VAULT_CA_FILE": self.ca_file,
                "WEATHER_URL": self.weather.url,
                "WEATHER_GEOCODING_URL": self.weather.url,
            }
        if client_id is not None:
            values["AZURE_CLIENT_ID"] = client_id
        return values

    async def _listen(self, service: Service[Any], port: int, tls: ssl.SSLContext | None = None) -> None:
        application = web.Application(client_max_size=BODY_LIMIT)
        control = Control(service)
        application.router.add_route("*", "/control", control.handle)
        application.router.add_route("*", "/control/{path:.*}", control.handle)
        application.router.add_route("*", "/{path:.*}", service.handle)
        # With handler_cancellation a handler learns at once that its caller has gone.
        runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
        await site.start()
        service.port = runner.addresses[0][1]
