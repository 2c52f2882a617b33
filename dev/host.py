"""A local Functions host: serves `function_app.py` without Core Tools, by the rules that it meets in Azure.

    with Host.start(environ) as host:
        urllib.request.urlopen(host.url + "/api/health")

What is before the app (`front.py`: routes, keys, CORS, invocation ids) does as the Functions host does; what
runs it (`worker.py`) is the streaming extension's own web app and server. What differs from Azure: no front door,
so no cut after 230 s; no cap of 100 MB on a body; keys are enforced only when asked; and the app is closed at the
end.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from dev import worker
from dev.app import App, HostError, LoadFailed, Misconfigured, RulesBroken, importable
from dev.front import Cors, Front
from dev.rules import Function
from dev.server import Server, listen

__all__ = ["Cors", "Host", "HostError", "LoadFailed", "Misconfigured", "PortTaken", "RulesBroken"]

AZURE_MARKS = ("CONTAINER_NAME", "WEBSITE_INSTANCE_ID", "WEBSITE_POD_NAME", "WEBSITE_SKU")
"""By these variables an app knows that it is in Azure. A container's shell may hold one: not for a local host."""

log = logging.getLogger("dev.host")


class PortTaken(HostError):
    """Something else listens on the port."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is in use")
        self.port = port


@dataclass(frozen=True)
class Options:
    """How a host serves: see `Host.start`."""

    enforce_auth: bool
    key: str
    cors: Cors
    allow_mistakes: bool
    warm_up: bool
    grace: float


class Host:
    """A running host: its `url` (no slash at the end), `functions`, and `key` (for where keys are enforced).

    The server and the app live on a loop of their own in a daemon thread. The environment, `sys.path` and
    `sys.modules` are the process's: hosts may follow each other, or be nested as their `with` blocks are.
    """

    def __init__(self, environ: Mapping[str, str | None], port: int, path: Path, options: Options) -> None:
        """Listens, but serves nothing yet: `start` is the way to make one."""
        self.functions: tuple[Function, ...] = ()
        self.key = options.key
        self._options = options
        self._path = path.resolve()
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: BaseException | None = None
        self._ready = threading.Event()
        self._warm = threading.Event()
        try:
            self._socket = listen(port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(port) from error
            raise HostError(f"cannot listen on port {port}: {error.strerror}") from error
        except OverflowError as error:
            raise HostError(f"{port} is no port: 0 to 65535") from error
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._cleanup = ExitStack()
        self._cleanup.callback(self._socket.close)
        self._cleanup.enter_context(environment(environ))
        self._cleanup.enter_context(importable(self._path))
        self._thread = threading.Thread(target=self._run, name="functions-host", daemon=True)

    @classmethod
    def start(
        cls,
        environ: Mapping[str, str | None],
        *,
        port: int = 0,
        path: Path = Path("function_app.py"),
        enforce_auth: bool = False,
        key: str | None = None,
        cors: Cors | None = None,
        allow_mistakes: bool = False,
        warm_up: bool = True,
        grace: float = 0.5,
    ) -> Self:
        """Loads the app and serves it; returns when it accepts connections.

        Args:
            environ: put into `os.environ` until the host stops; None removes a variable. The `AZURE_MARKS` are
                removed unless they are named here.
            port: 0 takes a free one.
            path: the app's file. The `host.json` beside it gives the route prefix.
            enforce_auth: ask for a key where a function's level is FUNCTION or ADMIN, as Azure does.
            key: the key that is then accepted; made up when not given.
            cors: the web origins that may call; none when not given.
            allow_mistakes: serve an app that says its settings are wrong, as Azure would.
            warm_up: run the warm-up trigger's function once, beside the first requests.
            grace: seconds that open answers are given when the host stops.

        Raises:
            HostError: what stands in the way, for a person to read.
        """
        key = key or secrets.token_urlsafe(24)
        options = Options(enforce_auth, key, cors or Cors(), allow_mistakes, warm_up, grace)
        host = cls({**dict.fromkeys(AZURE_MARKS), **environ}, port, path, options)
        host._thread.start()
        host._ready.wait()
        if host._failure is not None:
            host.stop()
            raise host._failure
        return host

    def __enter__(self) -> Self:
        """The running host."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops it."""
        self.stop()

    def stop(self) -> None:
        """Ends open answers, closes the app, puts the environment back. A second call does nothing."""
        if self._loop is not None and self._server is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._server.stop)
        self._thread.join()
        self._cleanup.close()

    def wait_warm(self, timeout: float = 10) -> bool:
        """Waits until the warm-up function has ended; False when that takes over `timeout` seconds."""
        return self._warm.wait(timeout)

    def _run(self) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._serve())
        except BaseException as error:
            if self._ready.is_set():
                log.critical("the host failed", exc_info=error)
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        app = App.load(self._path)
        try:
            if app.mistakes and not self._options.allow_mistakes:
                raise Misconfigured(list(app.mistakes))
            self.functions = app.functions
            front = Front(
                worker.web_app(),
                app.functions,
                prefix=_route_prefix(self._path.parent / "host.json"),
                cors=self._options.cors,
                key=self.key if self._options.enforce_auth else None,
            )
            self._server = Server(front, grace=self._options.grace, on_started=self._ready.set)
            warming = asyncio.create_task(self._warm_up())
            await self._server.serve(sockets=[self._socket])
            warming.cancel()
        finally:
            await app.close()

    async def _warm_up(self) -> None:
        try:
            for function in self.functions:
                if function.route is None and self._options.warm_up:
                    await worker.warm_up(function)
        finally:
            self._warm.set()


def _route_prefix(host_json: Path) -> str:
    if not host_json.is_file():
        return "api"
    try:
        document = json.loads(host_json.read_text(encoding="utf-8"))
        return str(document.get("extensions", {}).get("http", {}).get("routePrefix", "api"))
    except (ValueError, AttributeError) as error:
        raise HostError(f"{host_json.name} cannot be read: {error}") from error


@contextmanager
def environment(environ: Mapping[str, str | None]) -> Iterator[None]:
    """Puts these variables into the process's environment, or removes those that are None, for as long as it lasts."""
    before = {name: os.environ.get(name) for name in environ}
    _apply(environ)
    try:
        yield
    finally:
        _apply(before)


def _apply(environ: Mapping[str, str | None]) -> None:
    for name, value in environ.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
