"""Everything that the app told anyone, to be searched for what it must not tell."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import httpx2
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

TOKEN_START = "eyJhbGciOi"
"""How every signed token begins."""


class Told(logging.Handler):
    """Log lines, spans and responses. `lines` are the log's alone."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        super().__init__(logging.DEBUG)
        self._exporter = exporter
        self.lines: list[str] = []
        self.answers: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a log record as it would be printed."""
        self.lines.append(f"{record.name} {record.levelname} {logging.Formatter().format(record)}")

    def hear(self, response: httpx2.Response) -> None:
        """Keeps a response: its headers, and its body unless the test reads that itself, piece by piece."""
        self.answers.append(str(dict(response.headers)))
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            response.read()
            self.answers.append(response.text)

    def spans(self, name: str = "") -> list[str]:
        """Every span whose name begins so, as JSON."""
        return [span.to_json() for span in self._exporter.get_finished_spans() if span.name.startswith(name)]

    def secrets_in(self, secrets: Iterable[str]) -> list[str]:
        """What was told and holds a secret: a token, or one of `secrets`."""
        banned = [TOKEN_START, *secrets]
        everything = [*self.lines, *self.answers, *self.spans()]
        return [one[:500] for one in everything if any(secret in one for secret in banned)]
