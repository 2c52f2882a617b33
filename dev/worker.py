"""The part of the Functions worker that runs handlers: the extension's own web app, with one catch-all route.

In Azure the host proxies each request to this app; the worker hands it to the function under its invocation
id and gives back what the function returns. Here the host is in the same process and passes the invocation
along in the scope.
"""

from __future__ import annotations

import logging
from typing import Any

from azure.functions.warmup import WarmUpContext
from azurefunctions.extensions.base import RequestTrackerMeta
from azurefunctions.extensions.http.fastapi import Request, WebApp
from starlette.types import ASGIApp

from dev.invocation import Context, Invocation
from dev.rules import Function

SCOPE_KEY = "dev.invocation"

log = logging.getLogger("dev.worker")


def web_app() -> ASGIApp:
    """The app that serves invocations put into `scope[SCOPE_KEY]`.

    A handler's exception becomes the framework's 500 and is raised again to the server, which logs it and
    closes the connection; an `HTTPException` becomes its own answer. As in Azure, where the same app runs.
    """
    app: Any = WebApp()  # type: ignore[abstract]  # the extension does implement it, untyped

    async def catch_all(request: Request) -> Any:
        invocation: Invocation = request.scope[SCOPE_KEY]
        synchronizer: Any = RequestTrackerMeta.get_synchronizer()  # type: ignore[no-untyped-call]  # the extension has no types
        synchronizer.sync_route_params(request, invocation.path_params)
        answer = await _call(invocation.function, request, invocation.context)
        if answer is None:
            raise RuntimeError(f"function {invocation.function.name!r} returned no response")
        return answer

    app.route(catch_all)
    served: ASGIApp = app.get_app()
    return served


async def warm_up(function: Function) -> None:
    """Runs a warm-up trigger's function. Its failure is logged, and harms nobody, as in Azure."""
    try:
        await _call(function, WarmUpContext(), Context.of(function, {}))
    except Exception:
        log.exception("the warm-up function %s failed", function.name)


async def _call(function: Function, data: Any, context: Context) -> Any:
    arguments = {function.binding: data}
    if function.needs_context:
        arguments["context"] = context
    return await function.handler(**arguments)
