"""The App Service identity endpoint, as a Function App meets it at IDENTITY_ENDPOINT.

Protocol: https://learn.microsoft.com/azure/app-service/overview-managed-identity (api-version 2019-08-01).
"""

from __future__ import annotations

import json
import secrets
import uuid
from typing import Any

from aiohttp import web

from dev.emulator import tokens
from dev.emulator.script import IdentityStep
from dev.emulator.service import Exchange, Service
from dev.emulator.tokens import SYSTEM_ASSIGNED, Identity, user_assigned

API_VERSION = "2019-08-01"
DAY = 86_400.0
PATH = "/msi/token"
USER_ASSIGNED_CLIENT_ID = "0a55e000-0000-4000-8000-000000000002"


class IdentityEmulator(Service[IdentityStep]):
    """Gives tokens to who shows the identity header, for the identities that the emulated app has.

    client_ids: its user-assigned identities. system_assigned: whether it has a system-assigned one.
    life: how long its tokens last, in seconds.
    """

    def __init__(self) -> None:
        super().__init__(IdentityStep)
        self.header = secrets.token_hex(16).upper()
        self.client_ids = {USER_ASSIGNED_CLIENT_ID}
        self.system_assigned = True
        self.life = DAY

    @property
    def endpoint(self) -> str:
        """The value of IDENTITY_ENDPOINT."""
        return self.url + PATH

    def mint(
        self,
        audience: str = "https://cognitiveservices.azure.com",
        *,
        life: float | None = None,
        client_id: str | None = None,
        forged: bool = False,
    ) -> str:
        """Sign a token without a request, as the endpoint would now."""
        identity = SYSTEM_ASSIGNED if client_id is None else user_assigned(client_id)
        lasts = self.life if life is None else life
        return tokens.mint(identity, audience, self.clock(), lasts, forged=forged)

    async def answer(self, exchange: Exchange) -> web.StreamResponse:
        """Answer one token request, or as the script says."""
        step = self._script.next()
        await self.obstruct(exchange, step)
        if step.reset:
            raise exchange.drop(reset=True)
        if step.body is not None:
            return web.Response(status=step.status or 200, text=step.body, headers=step.headers)
        if step.status is not None and step.status != 200:
            return _error(step.status, "Scripted: the identity endpoint is out of order.", step)
        return self._give(exchange, step)

    def _give(self, exchange: Exchange, step: IdentityStep) -> web.Response:
        recorded = exchange.recorded
        if recorded.path.lower() != PATH or recorded.method != "GET":
            return _error(404, "There is nothing here.", step)
        if recorded.headers.get("x-identity-header") != self.header:
            return _error(401, "Unauthorized: the X-IDENTITY-HEADER is missing or wrong.", step)
        if recorded.query.get("api-version") != API_VERSION:
            return _error(400, f"The api-version must be {API_VERSION}.", step)
        resource = recorded.query.get("resource", "")
        if not resource:
            return _error(400, "The resource parameter is required.", step)
        identity = self._wanted(recorded.query.get)
        if identity is None:
            return _error(
                400,
                "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.",
                step,
            )
        return self._token(identity, resource, step)

    def _wanted(self, query: Any) -> Identity | None:
        wanted = {
            "client_id": query("client_id"),
            "object_id": query("object_id") or query("principal_id"),
            "resource_id": query("mi_res_id"),
        }
        if not any(wanted.values()):
            return SYSTEM_ASSIGNED if self.system_assigned else None
        for identity in map(user_assigned, sorted(self.client_ids)):
            if all(value in (None, getattr(identity, name)) for name, value in wanted.items()):
                return identity
        return None

    def _token(self, identity: Identity, resource: str, step: IdentityStep) -> web.Response:
        now = self.clock()
        life = self.life if step.life is None else step.life
        token = step.token or tokens.mint(identity, step.audience or resource, now, life, forged=step.forged)
        answer: dict[str, Any] = {
            "access_token": token,
            "client_id": identity.client_id,
            "expires_on": str(int(now + life)),
            "not_before": str(int(now)),
            "resource": resource,
            "token_type": "Bearer",
        }
        if step.broken == "no-expires-on":
            del answer["expires_on"]
        if step.broken == "no-token":
            del answer["access_token"]
        text = {"not-json": "<html>The service is starting.</html>", "empty": ""}.get(
            step.broken or "", json.dumps(answer)
        )
        return web.Response(text=text, content_type="application/json", headers=step.headers)


def _error(status: int, message: str, step: IdentityStep) -> web.Response:
    body = step.error or {"statusCode": status, "message": message, "correlationId": str(uuid.uuid4())}
    return web.json_response(body, status=status, headers=step.headers)
