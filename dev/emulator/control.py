"""The control routes: what a test does in process, another process on this machine does here.

POST, DELETE /control/script      {"steps": [...], "forever": {...}}
GET, DELETE  /control/requests    what came, with `after=n` only the later ones
POST         /control/gates/NAME  open a gate
GET, PATCH   /control/state       counters; and the service's settable members
DELETE       /control             forget everything, and what was set since the start
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from dev.emulator.script import BadStep, StepT
from dev.emulator.service import Recorded, Service

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
SETTABLE = ("role_granted", "deployments", "reasoning", "client_ids", "system_assigned", "life", "pace")


class Control:
    """The control routes of one service."""

    def __init__(self, service: Service[StepT]) -> None:
        self._service: Service[Any] = service

    async def handle(self, request: web.Request) -> web.Response:
        """Do what a control request asks; refuse a web page that asks (a browser sends Origin, or a foreign Host)."""
        if "Origin" in request.headers or urlsplit(f"//{request.host}").hostname not in LOOPBACK:
            return _refuse(403, "The control routes are for programs on this machine.")
        try:
            body = await request.json() if request.can_read_body else {}
            match request.method, request.path.strip("/").split("/")[1:]:
                case "POST", ["script"]:
                    self._service.script(*body.get("steps", []))
                    if "forever" in body:
                        self._service.script_forever(body["forever"])
                case "DELETE", ["script"]:
                    self._service.clear_script()
                case "GET", ["requests"]:
                    later = self._service.requests[int(request.query.get("after", 0)) :]
                    return web.json_response({"requests": [_told(each) for each in later]})
                case "DELETE", ["requests"]:
                    self._service.requests.clear()
                case "POST", ["gates", name]:
                    self._service.open_gate(name)
                case "PATCH", ["state"]:
                    self._set(body)
                case "GET", ["state"]:
                    pass
                case "DELETE", []:
                    self._service.reset()
                case _:
                    return _refuse(404, "No such control route.")
        except BadStep as error:
            return _refuse(400, str(error))
        except (ValueError, TypeError, AttributeError) as error:
            return _refuse(400, f"Not understood: {error}")
        return web.json_response(self._state())

    def _set(self, values: dict[str, Any]) -> None:
        for name, value in values.items():
            if name not in SETTABLE or not hasattr(self._service, name):
                raise BadStep(f"not settable here: {name}")
            setattr(self._service, name, set(value) if isinstance(value, list) else value)

    def _state(self) -> dict[str, Any]:
        service = self._service
        values = {name: getattr(service, name) for name in SETTABLE if hasattr(service, name)}
        return {
            "in_flight": service.in_flight,
            "cancellations": service.cancellations,
            "requests": len(service.requests),
            "scripted": service.scripted,
            **{name: sorted(value) if isinstance(value, set) else value for name, value in values.items()},
        }


def _refuse(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)


def _told(recorded: Recorded) -> dict[str, Any]:
    text = recorded.body.decode("utf-8", "replace")
    try:
        parsed: Any = json.loads(text)
    except ValueError:
        parsed = None
    return {
        "method": recorded.method,
        "path": recorded.path,
        "query": dict(recorded.query),
        "headers": dict(recorded.headers),
        "body": text,
        "json": parsed,
    }
