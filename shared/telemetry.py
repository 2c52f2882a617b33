"""What is told of a request: one structured log line, one span a model call.

Neither ever holds content, a token or a caller's name. Names of spans and attributes are those of OpenTelemetry's
semantic conventions for generative AI; without an OpenTelemetry SDK in the process they cost next to nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from opentelemetry import trace

from shared.call import Spent
from shared.errors import AppError
from shared.events import Event, Events, Failed, Finished, Started, Usage

log = logging.getLogger("app.request")
pool_log = logging.getLogger("app.pool")


@dataclass(slots=True)
class RequestRecord:
    """What the log line of one request says. It sees the request's events go by and is written once."""

    route: str
    request_id: str
    status: int = 0
    stream: bool = False
    model: str | None = None
    finish_reason: str | None = None
    code: str | None = None
    usage: Usage = field(default_factory=Usage)
    spent: Spent = field(default_factory=Spent)
    _began: float = field(default_factory=time.perf_counter)
    _first: float | None = None

    def see(self, event: Event) -> None:
        """Takes from an event what the line will say."""
        match event:
            case Started():
                self.model = event.model
                if self._first is None:
                    self._first = time.perf_counter()
            case Finished():
                self.finish_reason, self.usage = event.reason, event.usage
            case Failed():
                self.failed(event.error)

    async def watch(self, events: Events) -> Events:
        """The same events, seen as they go by."""
        async with aclosing(events):
            async for event in events:
                self.see(event)
                yield event

    def failed(self, error: AppError) -> None:
        """Remembers the error that ended the request."""
        self.code = error.code

    def write(self) -> None:
        """Logs the line."""
        now = time.perf_counter()
        line = {
            "event": "request",
            "route": self.route,
            "request_id": self.request_id,
            "status": self.status,
            "stream": self.stream,
            "model": self.model,
            "deployment": self.spent.deployment,
            "resource": _host(self.spent.endpoint),
            "attempts": self.spent.attempts or None,
            "retries": self.spent.retries or None,
            # Below a millisecond it is the pool's own work.
            "waited_ms": round(self.spent.waited * 1000) or None,
            "finish_reason": self.finish_reason,
            "code": self.code,
            "input_tokens": self.usage.input_tokens,
            "output_tokens": self.usage.output_tokens,
            "cached_tokens": self.usage.cached_tokens,
            "reasoning_tokens": self.usage.reasoning_tokens,
            "first_event_ms": None if self._first is None else round((self._first - self._began) * 1000, 1),
            "ms": round((now - self._began) * 1000, 1),
        }
        log.info("%s", _line(line))


def deployment_changed(name: str, endpoint: str, state: str, seconds: float) -> None:
    """Logs that a deployment is left alone for some seconds, and why, or that it takes traffic again (`ok`)."""
    line = {
        "event": "deployment",
        "deployment": name,
        "resource": _host(endpoint),
        "state": state,
        "seconds": round(seconds, 1) or None,
    }
    # A quota that is used up for a moment is everyday; the others someone may have to look at.
    everyday = state in ("ok", "rate_limited", "busy")
    pool_log.log(logging.INFO if everyday else logging.WARNING, "%s", _line(line))


def deployment_called(name: str, endpoint: str, outcome: str, ms: float, number: int) -> None:
    """Logs one call to a deployment, for who looks for the reason of a choice: at DEBUG alone."""
    if pool_log.isEnabledFor(logging.DEBUG):
        line = {
            "event": "attempt",
            "deployment": name,
            "resource": _host(endpoint),
            "outcome": outcome,
            "number": number,
            "ms": round(ms, 1),
        }
        pool_log.debug("%s", _line(line))


def _line(line: Mapping[str, object]) -> str:
    return json.dumps({name: value for name, value in line.items() if value is not None})


def _host(endpoint: str | None) -> str | None:
    return urlsplit(endpoint).hostname if endpoint else None


class ModelSpan:
    """The span of one model call; it takes its attributes from the events that it sees."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def see(self, event: Event) -> None:
        """Notes the usage and the reason of the end."""
        if isinstance(event, Finished):
            self._span.set_attribute("gen_ai.response.finish_reasons", [event.reason])
            self._span.set_attribute("gen_ai.usage.input_tokens", event.usage.input_tokens)
            self._span.set_attribute("gen_ai.usage.output_tokens", event.usage.output_tokens)


@contextmanager
def model_span(operation: str, deployment: str, base_url: str) -> Iterator[ModelSpan]:
    """A span of one model call. An `AppError` that ends it is noted by its code alone.

    A call that was cancelled took too long to its first event, or its caller left.
    """
    span = trace.get_tracer("keyless-ai-backend").start_span(
        f"{operation} {deployment}",
        kind=trace.SpanKind.CLIENT,
        attributes={
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": "azure.ai.openai",
            "gen_ai.request.model": deployment,
            "server.address": urlsplit(base_url).hostname or "",
        },
    )
    try:
        yield ModelSpan(span)
    except asyncio.CancelledError:
        span.set_attribute("error.type", "cancelled")
        raise
    except AppError as error:
        span.set_attribute("error.type", error.code)
        span.set_status(trace.StatusCode.ERROR)
        raise
    except Exception as error:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(trace.StatusCode.ERROR)
        raise
    finally:
        span.end()
