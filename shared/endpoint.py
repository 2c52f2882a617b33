"""Where is an Azure OpenAI resource?"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*|[0-9a-f:]*::?[0-9a-f:]*")
"""A name of letters, digits and hyphens, or an IP address."""

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def endpoint_problem(endpoint: str, *, development: bool) -> str | None:
    """What is wrong with an Azure OpenAI endpoint, or None."""
    example = "Set it to the resource's own address, as https://NAME.openai.azure.com."
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return f"is no URL. {example}"
    if not host or not HOST.fullmatch(host) or parts.scheme not in ("https", "http"):
        return f"is no https URL. {example}"
    if "@" in parts.netloc or parts.query or parts.fragment:
        return f"must have no user, query or fragment. {example}"
    if parts.scheme == "http" and not (development and host in LOOPBACK_HOSTS):
        return "must begin with https://. (Plain http is only for loopback on a development host.)"
    path = parts.path.rstrip("/")
    if path.endswith("/v1/azure"):
        return f"ends in /v1/azure, an older form that has no such route here. {example}"
    if path not in ("", "/openai", "/openai/v1"):
        return f"has a path that is not part of a resource's address. {example}"
    return None


def resource(endpoint: str) -> str:
    """The resource's own address, the same whichever of its accepted forms the endpoint has."""
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(':443')}"


def base_url(endpoint: str) -> str:
    """The v1 API's base URL of an endpoint, whichever of its accepted forms it has."""
    return f"{resource(endpoint)}/openai/v1/"


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine."""
    try:
        return urlsplit(url).hostname in LOOPBACK_HOSTS
    except ValueError:
        return False


def redis_problem(url: str, *, with_token: bool) -> str | None:
    """What is wrong with the address of a Redis server, or None. `with_token`: the app's token is sent there."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is no URL."
    if parts.scheme not in ("redis", "rediss") or not host:
        return "must be a URL as rediss://NAME.REGION.redis.azure.net:10000."
    if parts.password is not None or parts.username is not None or "password" in parts.query:
        return "must not hold a user or a password: the app signs in by its identity."
    if with_token and parts.scheme != "rediss" and host not in LOOPBACK_HOSTS:
        return "must begin with rediss://: the app's token is sent encrypted only."
    return None
