"""A tool reaches the places of its own, and nothing else: above all never the identity endpoint."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dev.emulator.certificate import Authority
from shared.egress import Egress, EgressFailed, EgressRefused
from shared.tools.tool import ToolContext, tool
from tests.egress.servers import NAME, OWN, Names, Server, serve, taken_for_public
from tests.tools.context import context


async def test_a_narrower_client_reaches_less_and_never_more(server: Server, identity: Server) -> None:
    egress = Egress([server.url, "https://api.example.com"], development=True)
    narrow = egress.only([server.url, identity.url])
    assert await narrow.get_json(server.url) == {"ok": True}
    for refused in ("https://api.example.com/", identity.url):
        with pytest.raises(EgressRefused, match="not one that the tool may reach"):
            await narrow.get_json(refused)
    with pytest.raises(EgressRefused):
        await egress.only([]).get_json(server.url)
    await egress.close()
    assert identity.connections == 0


async def test_a_tool_reaches_its_own_places_and_not_another_tools(server: Server, egress: Egress) -> None:
    @tool
    async def fetch(context: ToolContext) -> Any:
        """Fetches what is another tool's."""
        return await context.http.get_json(server.url)

    with pytest.raises(EgressRefused):
        await fetch.run("{}", context(http=egress))
    assert server.connections == 0


def attempts(port: int) -> list[str]:
    """Ways to write a request to a port of this machine, or to the platform's own services."""
    path = f":{port}/msi/token?resource=https://vault.azure.net&api-version=2019-08-01"
    hosts = [
        *("127.0.0.1", "localhost", "[::1]", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1"),
        *("017700000001", "0177.0.0.1", "127.0.0.01", "0", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
        *("[0:0:0:0:0:0:0:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::1%25lo]", "127.0.0.1.", "localhost."),
        *("LOCALHOST", "localhost%00", "127.0.0.1.nip.io", "user@127.0.0.1", "api.example.com@127.0.0.1"),
        *("api.example.com:443@127.0.0.1", "api.example.com%40127.0.0.1", "127.0.0.1\\@api.example.com"),
        *("127.0.0.1#@api.example.com", "127.0.0.1?@api.example.com", "api.example.com\\.127.0.0.1"),
        *("\u2460\u2461\u2466.\u24ea.\u24ea.\u2460", "127\u30020\u30020\u30021", "\uff11\uff12\uff17.0.0.1"),
        *("loc\u00adalhost", "\u24db\u24de\u24d2\u24d0\u24dbhost", "\u2112ocalhost"),
        *("169.254.169.254", "169.254.169.254.", "[fd00:ec2::254]", "168.63.129.16", "metadata.google.internal"),
        *("169.254.130.1", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "[::ffff:169.254.169.254]"),
    ]
    urls = [f"{scheme}://{host}{path}" for scheme in ("http", "https") for host in hosts]
    return [
        *urls,
        *(f"//127.0.0.1{path}", f"http:127.0.0.1{path}", f"http:/127.0.0.1{path}", f"http:///127.0.0.1{path}"),
        *(
            f"http:\\\\127.0.0.1{path}",
            f" http://127.0.0.1{path}",
            f"\thttp://127.0.0.1{path}",
            f"http://127.0.0.1\t{path}",
        ),
        *(f"ht\ntp://127.0.0.1{path}", f"gopher://127.0.0.1{path}", f"ws://127.0.0.1{path}", f"unix:/127.0.0.1{path}"),
        *("file:///etc/passwd", "data:application/json,{}", "javascript:1", "", "/", "http://", "api.example.com"),
    ]


async def test_no_spelling_of_a_url_leads_a_tool_to_the_identity_endpoint(server: Server, identity: Server) -> None:
    """Not even of a tool that fetches whatever it is told, on a development host, where loopback is not closed."""

    @tool(origins=(server.url, f"https://{NAME}"))
    async def fetch(url: str, context: ToolContext) -> Any:
        """Fetches a URL."""
        return await context.http.get_json(url, deadline=context.deadline)

    egress = Egress(fetch.origins, development=True, resolver=Names(["127.0.0.1"]))
    given = context(http=egress)
    assert json.loads(await fetch.run(json.dumps({"url": server.url}), given)) == {"ok": True}
    for url in attempts(identity.port):
        with pytest.raises(EgressRefused):
            await fetch.run(json.dumps({"url": url}), given)
    await egress.close()
    assert (identity.connections, server.connections) == (0, 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(
    st.tuples(
        st.sampled_from(["http", "https", "HTTP", "//", ""]),
        st.sampled_from(["://", ":", ":/", ":\\\\", "://@", ":// "]),
        st.text("127.0.0.1[]:@#?/\\%el.coah x", max_size=20),
        st.sampled_from(["127.0.0.1", "localhost", "[::1]", "@127.0.0.1", "#@127.0.0.1", "\\@127.0.0.1"]),
        st.text(":@#?/\\%. ", max_size=4),
    )
)
async def test_no_generated_url_leads_a_tool_to_the_identity_endpoint(
    identity: Server, pieces: tuple[str, ...]
) -> None:
    egress = Egress([f"https://{NAME}"], development=True, resolver=Names(["127.0.0.1"]))
    with pytest.raises(EgressRefused):
        await egress.get_json(f"{''.join(pieces)}:{identity.port}/msi/token")
    await egress.close()
    assert identity.connections == 0


async def test_a_path_cannot_move_the_host(server: Server, egress: Egress, identity: Server) -> None:
    for path in (
        f"//127.0.0.1:{identity.port}/",
        f"/..//127.0.0.1:{identity.port}",
        f"/@127.0.0.1:{identity.port}",
        f"/?://127.0.0.1:{identity.port}",
        f"/%2f%2f127.0.0.1:{identity.port}",
        f"/http://127.0.0.1:{identity.port}",
    ):
        assert await egress.get_json(server.url + path) == {"ok": True}
    assert identity.connections == 0


async def test_another_port_scheme_or_host_of_an_allowed_place_is_refused(server: Server, egress: Egress) -> None:
    for url in (
        f"http://127.0.0.1:{server.port + 1}/",
        f"https://127.0.0.1:{server.port}/",
        f"http://127.0.0.2:{server.port}/",
        f"http://localhost:{server.port}/",
        "http://127.0.0.1/",
    ):
        with pytest.raises(EgressRefused):
            await egress.get_json(url)
    assert server.connections == 0


@pytest.mark.parametrize("header", ["Host", "cookie", "Transfer-Encoding", "CONNECTION", "content-length"])
async def test_a_tool_cannot_set_a_header_that_steers_the_request(server: Server, egress: Egress, header: str) -> None:
    with pytest.raises(EgressRefused):
        await egress.get_json(server.url, headers={header: "x"})
    assert server.connections == 0


@pytest.mark.parametrize(
    "addresses",
    [
        *(["127.0.0.1"], ["::1"], ["10.0.0.1"], ["169.254.169.254"], ["168.63.129.16"], ["fd00:ec2::254"]),
        *(["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"], ["2002:7f00:1::"], ["0.0.0.0"], ["127.0.0.1", "::1", "10.0.0.1"]),
    ],
    ids=str,
)
async def test_a_name_that_leads_to_no_public_address_is_refused(identity: Server, addresses: list[str]) -> None:
    names = Names(addresses)
    egress = Egress([f"https://{NAME}:{identity.port}"], development=True, resolver=names)
    with pytest.raises(EgressRefused, match="public address"):
        await egress.get_json(f"https://{NAME}:{identity.port}/msi/token")
    await egress.close()
    assert names.asked == [NAME]
    assert identity.connections == 0


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to(authority: Authority) -> None:
    """A name server that changes its mind gets nowhere: its first answer is used, its second is checked again."""
    public, running = await serve(str(OWN), tls=authority.server_context(NAME))
    private, also_running = await serve("127.0.0.1", public.port, tls=authority.server_context(NAME))
    url = f"https://{NAME}:{public.port}"
    names = Names([str(OWN)], ["127.0.0.1"])
    egress = Egress([url], public=taken_for_public, resolver=names, tls=authority.client_context())
    assert await egress.get_json(url) == {"ok": True}
    assert await egress.get_json(url) == {"ok": True}, "the connection is kept, and nothing is asked again"
    assert names.asked == [NAME]
    await egress.close()
    with pytest.raises(EgressRefused):
        await egress.get_json(url)
    assert names.asked == [NAME, NAME]
    assert (len(public.requests), private.connections) == (2, 0)
    await egress.close()
    await running.cleanup()
    await also_running.cleanup()


async def test_of_a_names_addresses_only_the_public_ones_are_tried(authority: Authority) -> None:
    public, running = await serve(str(OWN), tls=authority.server_context(NAME))
    private, also_running = await serve("127.0.0.1", public.port, tls=authority.server_context(NAME))
    url = f"https://{NAME}:{public.port}"
    names = Names(["127.0.0.1", "::1", "10.0.0.1", str(OWN)])
    egress = Egress([url], public=taken_for_public, resolver=names, tls=authority.client_context())
    assert await egress.get_json(url) == {"ok": True}
    assert private.connections == 0
    await egress.close()
    await running.cleanup()
    await also_running.cleanup()


async def test_a_server_with_another_names_certificate_is_not_asked(authority: Authority) -> None:
    public, running = await serve(str(OWN), tls=authority.server_context("evil.example.com"))
    url = f"https://{NAME}:{public.port}"
    egress = Egress([url], public=taken_for_public, resolver=Names([str(OWN)]), tls=authority.client_context())
    with pytest.raises(EgressFailed):
        await egress.get_json(url)
    assert public.requests == []
    await egress.close()
    await running.cleanup()


async def test_an_authority_that_nobody_knows_is_not_trusted(authority: Authority) -> None:
    public, running = await serve(str(OWN), tls=authority.server_context(NAME))
    url = f"https://{NAME}:{public.port}"
    egress = Egress([url], public=taken_for_public, resolver=Names([str(OWN)]))
    with pytest.raises(EgressFailed):
        await egress.get_json(url)
    assert public.requests == []
    await egress.close()
    await running.cleanup()
