"""Tiny apps on a local host, and a caller who sees the bytes as they come."""

from __future__ import annotations

import http.client
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from dev.host import Host

HEADER = """
from __future__ import annotations

import asyncio
import os

import azure.functions as func
from azurefunctions.extensions.http.fastapi import JSONResponse, Request, Response, StreamingResponse

ANONYMOUS = func.AuthLevel.ANONYMOUS
app = func.FunctionApp()
"""


@dataclass
class Served:
    """A running host, and its caller."""

    host: Host

    def connect(self) -> http.client.HTTPConnection:
        """A connection of the test's own; it closes it."""
        port = urlsplit(self.host.url).port
        return http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """One whole exchange."""
        connection = self.connect()
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, named, response.read(), response.getheaders())
        finally:
            connection.close()


@dataclass(frozen=True)
class Answer:
    """What came back; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    pairs: list[tuple[str, str]]


class Server:
    """Starts hosts of apps that the test writes down; they end with the test."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.path = folder / "function_app.py"
        self._stack = stack

    def write(self, source: str, *, header: str = HEADER) -> Path:
        """The app's file: the usual imports and `app`, then `source`."""
        self.path.write_text(header + textwrap.dedent(source), encoding="utf-8")
        return self.path

    def __call__(self, source: str, environ: Mapping[str, str | None] | None = None, **options: Any) -> Served:
        """Serves such an app; options are those of `Host.start`."""
        self.write(source)
        return self.start(environ, **options)

    def start(self, environ: Mapping[str, str | None] | None = None, **options: Any) -> Served:
        """Serves what was written last."""
        return Served(self._stack.enter_context(Host.start(environ or {}, path=self.path, **options)))


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Server]:
    with ExitStack() as stack:
        yield Server(tmp_path, stack)
