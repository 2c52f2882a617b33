"""Runs one request through Microsoft's own Python worker (for Python 3.13, where it is a package).

    python -m tests.host.real_worker chat POST chat < body

In Azure the host starts the worker, tells it over gRPC to load the app and to invoke a function, and forwards the
HTTP request to the worker's web server under the same invocation id. This does the same without gRPC: the worker's
messages are plain objects here. It prints the status, then every piece of the answer as it comes, a JSON text a line.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp

ROOT = Path(__file__).parent.parent.parent


class _Message:
    """A protobuf message's class: called, it holds what it is given; its constants are their own names."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, **fields: Any) -> SimpleNamespace:
        return SimpleNamespace(**fields)

    def __getattr__(self, constant: str) -> str:
        return f"{self._name}.{constant}"


class Protos:
    """The worker's protobuf module."""

    class BindingInfo(SimpleNamespace):
        """With the numbers that azure-functions uses too."""

        undefined, out, inout = 0, 1, 2

    def __getattr__(self, name: str) -> _Message:
        return _Message(name)


def request(**kinds: Any) -> SimpleNamespace:
    """What the worker's proxy hands to the worker."""
    return SimpleNamespace(request=SimpleNamespace(**kinds), properties={"host": "127.0.0.1", "protos": Protos()})


def one_of(**field: Any) -> SimpleNamespace:
    """A message of which one field is set."""
    kind = next(iter(field), None)
    return SimpleNamespace(WhichOneof=lambda _: kind, **field)


def invocation(function_id: str, invocation_id: str, method: str, url: str) -> SimpleNamespace:
    """The order to invoke an HTTP function; its body and headers come over HTTP, and are empty here."""
    http = SimpleNamespace(method=method, url=url, headers={}, params={}, query={}, body=one_of())
    trigger = SimpleNamespace(name="req", WhichOneof=lambda _: "data", data=one_of(http=http))
    order = SimpleNamespace(
        invocation_id=invocation_id,
        function_id=function_id,
        input_data=[trigger],
        trigger_metadata={},
        trace_context=SimpleNamespace(trace_parent="", trace_state="", attributes={}),
        retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
    )
    return request(invocation_request=order)


async def exchange(function: str, method: str, path: str, body: bytes) -> None:
    """Loads the app, sends one request, tells the status and the pieces of the answer."""
    worker: Any = importlib.import_module("azure_functions_runtime")
    worker.start_threadpool_executor()
    begin = SimpleNamespace(capabilities={}, function_app_directory=str(ROOT))
    began = await worker.worker_init_request(request(worker_init_request=begin))
    assert began.result.status == "StatusResult.Success", vars(began.result.exception)
    found = (await worker.functions_metadata_request(None)).function_metadata_results
    function_id = next(each.function_id for each in found if each.name == function)
    url, invocation_id = f"{began.capabilities['HttpUri']}/api/{path}", str(uuid.uuid4())
    invoked = asyncio.create_task(worker.invocation_request(invocation(function_id, invocation_id, method, url)))
    headers = {"x-ms-invocation-id": invocation_id, "content-type": "application/json"}
    async with aiohttp.ClientSession() as session:
        response = await _sent(lambda: session.request(method, url, data=body, headers=headers))
        tell(response.status)
        async for piece in response.content.iter_any():
            tell(piece.decode())
    assert (await invoked).result.status == "StatusResult.Success"


async def _sent(send: Callable[[], Any]) -> aiohttp.ClientResponse:
    while True:
        try:
            response: aiohttp.ClientResponse = await send()
        except aiohttp.ClientConnectorError:
            await asyncio.sleep(0)  # the worker does not say when its server listens
        else:
            return response


def tell(what: object) -> None:
    """Prints one line."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Takes function, method and path; the body from stdin."""
    function, method, path = sys.argv[1:]
    asyncio.run(exchange(function, method, path, sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
