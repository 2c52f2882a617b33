"""Which function a path goes to: ASP.NET's templates, as far as this host reads them."""

from __future__ import annotations

import pytest

from dev.routes import Router, parse
from tests.host.conftest import Server

GUID = "7f8d6e5c-0000-4000-8000-00000000000A"


def routed(path: str, *templates: str, prefix: str = "api", method: str = "GET") -> tuple[str, dict[str, str]] | None:
    found = Router([parse(template, template) for template in templates], prefix).match(path, method)
    return None if found is None else (found[0].template, found[1])


@pytest.mark.parametrize(
    ("path", "template", "parameters"),
    [
        ("/api/chat", "chat", {}),
        ("/API/Chat/", "chat", {}),
        ("/api/items/a%2Fb%20c", "items/{id}", {"id": "a/b c"}),
        ("/api/items/%C3%A9", "items/{id}", {"id": "é"}),
        ("/api/items/42", "items/{id:int}", {"id": "42"}),
        (f"/api/items/{GUID}", "items/{id:guid}", {"id": GUID}),
        ("/api/items", "items/{id?}", {}),
        ("/api/items/1", "items/{id?}", {"id": "1"}),
        ("/api/v1/chat/completions", "v1/{*rest}", {"rest": "chat/completions"}),
        ("/api/v1", "v1/{*rest}", {}),
        ("/api", "{*rest}", {}),
        ("/api/a.b", "a.b", {}),
    ],
)  # fmt: skip
def test_a_path_that_fits_gives_its_parameters_decoded(path: str, template: str, parameters: dict[str, str]) -> None:
    assert routed(path, template) == (template, parameters)


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/chat", "chat"),
        ("/apichat", "chat"),
        ("/api/chat/more", "chat"),
        ("/api/items/4x", "items/{id:int}"),
        ("/api/items/x1", "items/{name:alpha}"),
        ("/api/items", "items/{id}"),
        ("/api/aXb", "a.b"),
    ],
)
def test_a_path_that_does_not_fit_goes_nowhere(path: str, template: str) -> None:
    assert routed(path, template) is None


def test_the_more_specific_route_wins_whatever_their_order() -> None:
    templates = ("{*rest}", "items/{id}", "items/{id:int}", "items/new", "items/{id}/parts")
    chosen = [
        routed(f"/api/{path}", *order)
        for path in ("items/new", "items/7", "items/x", "items/7/parts", "other")
        for order in (templates, tuple(reversed(templates)))
    ]
    assert [found and found[0] for found in chosen[::2]] == [
        "items/new",
        "items/{id:int}",
        "items/{id}",
        "items/{id}/parts",
        "{*rest}",
    ]
    assert chosen[::2] == chosen[1::2]


def test_an_empty_prefix_puts_routes_at_the_root() -> None:
    assert routed("/chat", "chat", prefix="") == ("chat", {})


def test_the_prefix_comes_from_host_json(serve: Server) -> None:
    serve.path.with_name("host.json").write_text('{"extensions": {"http": {"routePrefix": "back/end"}}}')
    served = serve(
        """
        @app.route(route="items/{id}")
        async def item(req: Request) -> JSONResponse:
            return JSONResponse(req.path_params)
        """
    )
    assert served.ask("GET", "/back/end/items/1").body == b'{"id":"1"}'
    assert served.ask("GET", "/api/items/1").status == 404


def test_an_unreadable_host_json_is_said_so(serve: Server) -> None:
    from dev.host import HostError

    serve.path.with_name("host.json").write_text("{")
    with pytest.raises(HostError, match=r"host\.json cannot be read"):
        serve("@app.route(route='x')\nasync def item(req: Request): ...")
