"""Reads a request to its end, within limits that the server does not have."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from shared.errors import BodyTimeout, BodyTooLarge
from shared.requests import Incoming


async def read(request: Request, *, max_bytes: int, within: float) -> Incoming:
    """The request with its whole body, counted while it comes.

    Raises:
        BodyTooLarge: it is larger than `max_bytes`; at once when it says so itself.
        BodyTimeout: it took longer than `within` seconds.
        starlette.requests.ClientDisconnect: the caller left meanwhile.
    """
    too_large = BodyTooLarge(f"The body is larger than {max_bytes} bytes. Send less.")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(within):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise too_large
    except TimeoutError:
        raise BodyTimeout from None
    # A header that comes several times is one list.
    headers = {name: ", ".join(request.headers.getlist(name)) for name in request.headers}
    return Incoming(bytes(body), headers, dict(request.query_params.items()))
