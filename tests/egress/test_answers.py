"""An answer is read as JSON of a sensible size, in time, and steers nothing."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from typing import Any

import pytest

from shared.egress import MAX_BYTES, Egress, EgressError, EgressFailed
from tests.egress.servers import Server


async def test_json_is_fetched_from_an_allowed_place(server: Server, egress: Egress) -> None:
    found = await egress.get_json(f"{server.url}/a/b?c=d", {"q": "ä & b", "n": 1, "x": 0.5}, {"X-Key": "k"})
    assert found == {"ok": True}
    (request,) = server.requests
    assert request.path == "/a/b"
    assert dict(request.query) == {"c": "d", "q": "ä & b", "n": "1", "x": "0.5"}
    assert request.headers["X-Key"] == "k"
    assert request.headers["Accept-Encoding"] == "identity"


async def test_one_connection_serves_many_requests(server: Server, egress: Egress) -> None:
    for _ in range(3):
        await egress.get_json(server.url)
    assert (len(server.requests), server.connections) == (3, 1)


async def test_first_requests_at_once_share_a_session(server: Server, egress: Egress) -> None:
    await asyncio.gather(*(egress.get_json(server.url) for _ in range(8)))
    assert len(server.requests) == 8


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(server: Server, egress: Egress, identity: Server, status: int) -> None:
    server.response = {"status": status, "headers": {"Location": f"{identity.url}/msi/token"}}
    with pytest.raises(EgressFailed, match="redirect") as caught:
        await egress.get_json(server.url)
    assert caught.value.status == status
    assert (len(server.requests), identity.connections) == (1, 0)


async def test_a_refresh_header_or_cookie_has_no_effect(server: Server, egress: Egress, identity: Server) -> None:
    server.response["headers"] = {"Refresh": f"0; url={identity.url}", "Set-Cookie": "a=b", "Link": f"<{identity.url}>"}
    await egress.get_json(server.url)
    await egress.get_json(server.url)
    assert "Cookie" not in server.requests[1].headers
    assert identity.connections == 0


async def test_proxies_and_passwords_of_the_environment_are_not_used(
    server: Server, egress: Egress, identity: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, identity.url)
    assert await egress.get_json(server.url) == {"ok": True}
    assert "Authorization" not in server.requests[0].headers
    assert identity.connections == 0


@pytest.mark.parametrize(
    ("response", "told"),
    [
        ({"status": 404, "text": "secret text"}, "status 404"),
        ({"status": 500}, "status 500"),
        ({"text": "<html>secret text</html>"}, "not JSON"),
        ({"text": '{"x": NaN}'}, "not JSON"),
        ({"text": "[" * 5000}, "not JSON"),
        ({"body": b'"\xff"'}, "not JSON"),
        ({"text": ""}, "not JSON"),
        ({"text": json.dumps("x" * MAX_BYTES)}, "too large"),
        ({"text": "{}", "headers": {"Content-Encoding": "gzip"}}, "compressed"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_an_answer_of_no_use_is_refused_without_its_words(
    server: Server, egress: Egress, response: dict[str, Any], told: str
) -> None:
    server.response = response
    with pytest.raises(EgressFailed, match=told) as caught:
        await egress.get_json(server.url)
    assert "secret" not in str(caught.value)


async def test_an_answer_without_an_end_is_cut_at_the_limit() -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        try:
            while True:
                writer.write(b" " * 65536)
                sent += 65536
                await writer.drain()
        except ConnectionError:
            writer.close()

    listening = await asyncio.start_server(endless, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    egress = Egress([url], development=True)
    with pytest.raises(EgressFailed, match="too large"):
        await egress.get_json(url)
    assert sent < 20 * MAX_BYTES
    await egress.close()
    listening.close()


async def test_silence_ends_at_the_deadline(server: Server, egress: Egress) -> None:
    server.may_answer.clear()
    started = time.monotonic()
    with pytest.raises(EgressFailed, match="in time"):
        await egress.get_json(server.url, deadline=started + 0.05)
    assert time.monotonic() - started < 2
    server.may_answer.set()


async def test_a_deadline_that_has_passed_asks_nobody(server: Server, egress: Egress) -> None:
    with pytest.raises(EgressFailed, match="no time left"):
        await egress.get_json(server.url, deadline=time.monotonic() - 1)
    assert server.connections == 0


async def test_a_place_where_nobody_listens_is_told(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    egress = Egress([f"http://127.0.0.1:{port}"], development=True)
    with pytest.raises(EgressFailed, match="could not be reached"):
        await egress.get_json(f"http://127.0.0.1:{port}")
    await egress.close()


async def test_a_key_in_a_query_is_neither_logged_nor_in_an_error(
    server: Server, egress: Egress, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = []
    for response in ({"text": "{}"}, {"status": 500}, {"text": "x"}, {"status": 302, "headers": {"Location": "/x"}}):
        server.response = response
        try:
            await egress.get_json(server.url, {"apikey": "canary-key"})
        except EgressError as error:
            told.append(f"{error!r} {error.__cause__!r}")
    assert len(told) == 3
    assert not [text for text in [*told, caplog.text] if "canary" in text]
