"""Azure Key Vault's secrets, over TLS, for who shows a token of the emulated tenant.

Protocol: https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret/get-secret, and for the challenge
https://learn.microsoft.com/azure/key-vault/general/authentication-requests-and-responses.
"""

from __future__ import annotations

import uuid
from typing import Any

from aiohttp import web

from dev.emulator import tokens
from dev.emulator.script import Faults
from dev.emulator.service import Exchange, Recorded, Service

AUDIENCE = "https://vault.azure.net"
CHALLENGE = f'Bearer authorization="https://login.microsoftonline.com/{tokens.TENANT}", resource="{AUDIENCE}"'


class KeyVaultEmulator(Service[Faults]):
    """A vault that is read by role, never by a key.

    secrets: their values by name; tests and developers set them. disabled: names of those that are switched
    off. role_granted: whether callers have the role: True, False, or the client ids that have it.
    """

    def __init__(self) -> None:
        super().__init__(Faults)
        self.secrets: dict[str, str] = {}
        self.disabled: set[str] = set()
        self.role_granted: bool | set[str] = True

    @property
    def url(self) -> str:
        """The vault's address, without a slash at the end."""
        return f"https://127.0.0.1:{self.port}"

    async def answer(self, exchange: Exchange) -> web.StreamResponse:
        """Answer one request, or as the script says."""
        step = self._script.next()
        await self.obstruct(exchange, step)
        if step.body is not None:
            return web.Response(status=step.status or 200, text=step.body, headers=step.headers)
        if step.status is not None and step.status != 200:
            error = step.error or {"code": "Scripted", "message": "Scripted: the vault is out of order."}
            return web.json_response({"error": error}, status=step.status, headers=step.headers)
        return self._admitted(exchange.recorded)

    def _admitted(self, recorded: Recorded) -> web.Response:
        scheme, _, token = recorded.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return _challenge("AKV10000: Request is missing a Bearer or PoP token.")
        try:
            claims = tokens.check(token, {AUDIENCE}, self.clock())
        except tokens.TokenRefused as refused:
            return _challenge(f"AKV10022: Error validating token: {refused}.")
        granted = self.role_granted
        if not (granted if isinstance(granted, bool) else claims["appid"] in granted):
            return _error(
                403,
                "Forbidden",
                "Caller is not authorized to perform action on resource.\n"
                f"Action: 'Microsoft.KeyVault/vaults/secrets/getSecret/action'\nCaller: oid={claims['oid']}",
                "ForbiddenByRbac",
            )
        return self._secret(recorded)

    def _secret(self, recorded: Recorded) -> web.Response:
        if "api-version" not in recorded.query:
            return _error(400, "BadParameter", "api-version must be specified")
        match recorded.method, recorded.path.rstrip("/").split("/")[1:]:
            case "GET", ["secrets", name]:
                pass
            case "GET", ["secrets", name, version] if version == self._version(name):
                pass
            case _:
                return _error(404, "NotFound", "There is nothing here.")
        if name not in self.secrets:
            return _error(404, "SecretNotFound", f"A secret with (name/id) {name} was not found in this key vault.")
        if name in self.disabled:
            message = "Operation get is not allowed on a disabled secret."
            return _error(403, "Forbidden", message, "SecretDisabled")
        now = int(self.clock())
        return web.json_response(
            {
                "value": self.secrets[name],
                "id": f"{self.url}/secrets/{name}/{self._version(name)}",
                "attributes": {
                    "enabled": True,
                    "created": now,
                    "updated": now,
                    "recoveryLevel": "Recoverable+Purgeable",
                    "recoverableDays": 90,
                },
                "tags": {},
            }
        )

    def _version(self, name: str) -> str:
        return uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {self.secrets.get(name)}").hex


def _challenge(message: str) -> web.Response:
    return _error(401, "Unauthorized", message, headers={"WWW-Authenticate": CHALLENGE})


def _error(
    status: int, code: str, message: str, inner: str | None = None, headers: dict[str, str] | None = None
) -> web.Response:
    error: dict[str, Any] = {"code": code, "message": message}
    if inner is not None:
        error["innererror"] = {"code": inner}
    return web.json_response({"error": error}, status=status, headers=headers)
