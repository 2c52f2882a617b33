"""The emulated tenant: it signs the access tokens of managed identities, and checks them."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

TENANT = "72f988bf-0000-4000-8000-2d7cd011db47"
ISSUER = f"https://sts.windows.net/{TENANT}/"
RESOURCE_GROUP = "/subscriptions/00000000-0000-4000-8000-000000000000/resourcegroups/emulated"


@dataclass(frozen=True)
class Identity:
    """A managed identity: the ids by which callers ask for it and by which tokens name it."""

    client_id: str
    object_id: str
    resource_id: str


SYSTEM_ASSIGNED = Identity(
    client_id="5a57e000-0000-4000-8000-000000000001",
    object_id="5a57e000-0000-4000-8000-0000000000b1",
    resource_id=f"{RESOURCE_GROUP}/providers/Microsoft.Web/sites/emulated-app",
)


def user_assigned(client_id: str) -> Identity:
    """Describe the user-assigned identity with this client id; its other ids follow from it."""
    object_id = str(uuid.uuid5(uuid.NAMESPACE_OID, client_id))
    resource_id = f"{RESOURCE_GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-{client_id[:8]}"
    return Identity(client_id, object_id, resource_id)


@functools.cache
def signing_key() -> rsa.RSAPrivateKey:
    """The tenant's key, made once a process."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@functools.cache
def foreign_key() -> rsa.RSAPrivateKey:
    """A key that is not the tenant's, for forged tokens."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def mint(identity: Identity, audience: str, issued: float, life: float, *, forged: bool = False) -> str:
    """Sign an access token with the claims that Entra ID gives a managed identity.

    `issued` is in epoch seconds, `life` in seconds. No two tokens are alike. A forged one has another key's signature.
    """
    claims = {
        "aud": audience,
        "iss": ISSUER,
        "iat": int(issued),
        "nbf": int(issued),
        "exp": int(issued + life),
        "appid": identity.client_id,
        "appidacr": "2",
        "idp": ISSUER,
        "idtyp": "app",
        "oid": identity.object_id,
        "sub": identity.object_id,
        "tid": TENANT,
        "uti": uuid.uuid4().hex[:22],
        "ver": "1.0",
        "xms_mirid": identity.resource_id,
    }
    key = foreign_key() if forged else signing_key()
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": "emulated-tenant", "x5t": "emulated-tenant"})


class TokenRefused(Exception):
    """A token that the emulated tenant did not sign for this audience and this moment; says why."""


def check(token: str, audiences: Collection[str], now: float) -> dict[str, Any]:
    """Return the claims of a token that is good at `now` (epoch seconds).

    Raises:
        TokenRefused: bad signature or shape, another audience, expired, or not valid yet.
    """
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            signing_key().public_key(),
            algorithms=["RS256"],
            issuer=ISSUER,
            # The emulator's clock decides, which tests may set: not PyJWT's.
            options={
                "verify_aud": False,
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "require": ["aud", "exp", "nbf", "appid"],
            },
        )
    except jwt.InvalidTokenError as error:
        raise TokenRefused(f"the token is not one of this tenant's: {str(error)!a}") from error
    if str(claims["aud"]).rstrip("/") not in {audience.rstrip("/") for audience in audiences}:
        raise TokenRefused(f"the token is for the audience {claims['aud']!a}")
    if claims["exp"] <= now:
        raise TokenRefused("the token has expired")
    if claims["nbf"] > now + 300:
        raise TokenRefused("the token is not valid yet")
    return claims
