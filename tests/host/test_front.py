"""What the Functions host does before the app sees a request."""

from __future__ import annotations

import pytest

from dev.host import Cors
from tests.host.conftest import Served, Server

APP = """
@app.route(route="open", methods=["GET"], auth_level=ANONYMOUS)
async def open_to_all(req: Request, context: func.Context) -> JSONResponse:
    return JSONResponse({
        "header": req.headers.getlist("x-ms-invocation-id"),
        "context": context.invocation_id,
        "trace": [context.trace_context.trace_parent, context.trace_context.trace_state],
        "retries": context.retry_context.retry_count,
        "client": req.client.host,
    })

@app.route(route="keyed", methods=["GET", "POST"])
async def keyed(req: Request) -> Response:
    return Response(await req.body())

@app.route(route="master", auth_level=func.AuthLevel.ADMIN)
async def master(req: Request) -> Response:
    return Response("master")
"""


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/nothing"),
        ("GET", "/"),
        ("GET", "/docs"),
        ("POST", "/api/open"),
        ("HEAD", "/api/open"),
        ("OPTIONS", "/api/open"),
    ],
)
def test_an_unknown_route_or_method_is_an_empty_404_as_in_azure(serve: Server, method: str, path: str) -> None:
    answer = serve(APP).ask(method, path)
    assert (answer.status, answer.body) == (404, b"")


def test_a_function_without_methods_takes_them_all(serve: Server) -> None:
    served = serve(APP)
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"):
        assert served.ask(method, "/api/master").status == 200


def test_keys_are_not_asked_for_unless_told_to(serve: Server) -> None:
    assert serve(APP).ask("POST", "/api/keyed", body=b"x").body == b"x"


class TestEnforcedKeys:
    @pytest.fixture
    def served(self, serve: Server) -> Served:
        return serve(APP, enforce_auth=True)

    def test_an_anonymous_function_is_open(self, served: Served) -> None:
        assert served.ask("GET", "/api/open").status == 200

    @pytest.mark.parametrize("path", ["/api/keyed", "/api/master", "/api/keyed?code=wrong", "/api/keyed?code="])
    def test_without_the_key_it_is_an_empty_401(self, served: Served, path: str) -> None:
        answer = served.ask("GET", path)
        assert (answer.status, answer.body) == (401, b"")

    @pytest.mark.parametrize("path", ["/api/keyed", "/api/master"])
    def test_the_key_is_taken_from_the_header(self, served: Served, path: str) -> None:
        assert served.ask("GET", path, headers={"x-functions-key": served.host.key}).status == 200
        assert served.ask("GET", path, headers={"x-functions-key": "wrong"}).status == 401

    def test_the_key_is_taken_from_the_query(self, served: Served) -> None:
        assert served.ask("GET", f"/api/keyed?a=b&code={served.host.key}").status == 200

    def test_the_key_can_be_chosen(self, serve: Server) -> None:
        served = serve(APP, enforce_auth=True, key="clé")
        assert served.ask("GET", "/api/keyed?code=cl%C3%A9").status == 200


def test_an_invocation_id_of_the_callers_is_replaced(serve: Server) -> None:
    served = serve(APP)
    seen = set()
    for _ in range(2):
        body = served.ask("GET", "/api/open", headers={"x-ms-invocation-id": "mine"}).body.decode()
        assert "mine" not in body
        header, context = body.split('"')[3], body.split('"')[7]
        assert header == context
        seen.add(header)
    assert len(seen) == 2


def test_the_context_carries_the_callers_trace(serve: Server) -> None:
    body = serve(APP).ask("GET", "/api/open", headers={"traceparent": "00-aa-bb-01", "tracestate": "k=v"}).body
    assert b'"trace":["00-aa-bb-01","k=v"],"retries":0' in body


def test_forwarded_headers_do_not_change_who_calls(serve: Server) -> None:
    body = serve(APP).ask("GET", "/api/open", headers={"x-forwarded-for": "203.0.113.9"}).body
    assert b'"client":"127.0.0.1"' in body


ASK = {
    "origin": "https://app.example",
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type,x-functions-key",
}


class TestCors:
    def test_a_preflight_of_an_allowed_origin_is_answered_by_the_host(self, serve: Server) -> None:
        served = serve(APP, cors=Cors.parse("https://app.example, http://localhost:3000/"), enforce_auth=True)
        answer = served.ask("OPTIONS", "/api/keyed", headers=ASK)
        assert (answer.status, answer.body) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert answer.headers["access-control-allow-methods"] == "POST"
        assert answer.headers["access-control-allow-headers"] == "content-type,x-functions-key"
        assert answer.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in answer.headers

    def test_a_preflight_that_asks_for_no_headers_is_allowed_none(self, serve: Server) -> None:
        asked = {name: value for name, value in ASK.items() if name != "access-control-request-headers"}
        answer = serve(APP, cors=Cors.parse("https://app.example")).ask("OPTIONS", "/api/keyed", headers=asked)
        assert answer.headers["access-control-allow-methods"] == "POST"
        assert not {"access-control-allow-headers", "vary"} & set(answer.headers)

    def test_a_preflight_of_another_origin_gets_no_permission(self, serve: Server) -> None:
        served = serve(APP, cors=Cors.parse("https://app.example"))
        answer = served.ask("OPTIONS", "/api/keyed", headers={**ASK, "origin": "https://evil.example"})
        assert answer.status == 204
        assert not [name for name in answer.headers if name.startswith("access-control")]

    def test_answers_carry_the_permission_errors_too(self, serve: Server) -> None:
        served = serve(APP, cors=Cors.parse("https://app.example", credentials=True), enforce_auth=True)
        for path, status in (("/api/open", 200), ("/api/keyed", 401), ("/api/nothing", 404)):
            answer = served.ask("GET", path, headers={"origin": "https://app.example"})
            assert answer.status == status
            assert answer.headers["access-control-allow-origin"] == "https://app.example"
            assert answer.headers["access-control-allow-credentials"] == "true"

    def test_a_star_allows_every_origin(self, serve: Server) -> None:
        served = serve(APP, cors=Cors.parse("*"))
        answer = served.ask("GET", "/api/open", headers={"origin": "https://any.example"})
        assert answer.headers["access-control-allow-origin"] == "*"

    def test_another_origin_is_served_without_the_permission(self, serve: Server) -> None:
        served = serve(APP, cors=Cors.parse("https://app.example"))
        answer = served.ask("GET", "/api/open", headers={"origin": "https://evil.example"})
        assert answer.status == 200
        assert "access-control-allow-origin" not in answer.headers

    def test_an_origin_that_may_not_call_is_logged(self, serve: Server, caplog: pytest.LogCaptureFixture) -> None:
        served = serve(APP, cors=Cors.parse("https://app.example"))
        served.ask("OPTIONS", "/api/keyed", headers={**ASK, "origin": "https://evil.example"})
        served.ask("GET", "/api/open", headers={"origin": "https://app.example"})
        served.ask("GET", "/api/open")
        (line,) = [record.getMessage() for record in caplog.records if record.name == "dev.front"]
        assert (
            line == "the web origin https://evil.example may not call; Host.CORS in local.settings.json names who may"
        )

    def test_without_cors_nothing_is_added_and_a_preflight_finds_no_route(self, serve: Server) -> None:
        served = serve(APP)
        assert served.ask("OPTIONS", "/api/keyed", headers=ASK).status == 404
        answer = served.ask("GET", "/api/open", headers={"origin": "https://app.example"})
        assert "access-control-allow-origin" not in answer.headers

    def test_credentials_for_everyone_are_refused(self) -> None:
        with pytest.raises(ValueError, match="name the origins"):
            Cors.parse("*", credentials=True)
