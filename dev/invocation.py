"""What a function is given besides its request: the invocation's context, as the worker makes it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from dev.rules import Function

_thread_local = threading.local()


@dataclass(frozen=True)
class TraceContext:
    """The caller's W3C trace context (https://www.w3.org/TR/trace-context/), empty strings without one."""

    trace_parent: str = ""
    trace_state: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RetryContext:
    """The host's retries: an HTTP invocation has none."""

    retry_count: int = 0
    max_retry_count: int = 0
    exception: None = None


@dataclass(frozen=True)
class Context:
    """One invocation. Like the worker's, it has the attributes of `azure.functions.Context` and is none."""

    function_name: str
    function_directory: str
    trace_context: TraceContext
    invocation_id: str
    """Also the request's `x-ms-invocation-id`."""
    retry_context: RetryContext = RetryContext()
    thread_local_storage: threading.local = _thread_local

    @classmethod
    def of(cls, function: Function, headers: Mapping[str, str]) -> Context:
        """A fresh one, in the caller's trace."""
        return cls(
            function_name=function.name,
            function_directory=function.directory,
            trace_context=TraceContext(headers.get("traceparent", ""), headers.get("tracestate", "")),
            invocation_id=str(uuid.uuid4()),
        )


@dataclass(frozen=True)
class Invocation:
    """One request on its way to its function."""

    function: Function
    path_params: dict[str, str]
    context: Context
